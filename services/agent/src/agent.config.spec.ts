import { describe, expect, it } from '@jest/globals';
import { ConfigurationError, configPrefix, loadConfig } from '#libs/config';
import { AgentConfig } from './agent.config.js';

describe('the configuration of an agent', () => {
  const key = { kty: 'OKP', crv: 'Ed25519', x: 'A'.repeat(43) };
  const env = {
    TRADEFLEET_HOST: 'host-a',
    TRADEFLEET_NATS_URL: 'nats://127.0.0.1:4222',
    TRADEFLEET_SCHEDULER_PUBLIC_KEY: JSON.stringify(key),
    TRADEFLEET_AUDIT_PUBLIC_KEY: JSON.stringify(key),
    TRADEFLEET_STATE_DIR: '/var/lib/tradefleet',
    TRADEFLEET_RUN_ROOT: '/run/tradefleet',
  };
  const load = (more: Record<string, string> = {}) =>
    loadConfig(AgentConfig, { prefix: configPrefix, env: { ...env, ...more } });

  it('needs little', () => {
    expect(load()).toMatchObject({
      host: 'host-a',
      natsUrl: ['nats://127.0.0.1:4222'],
      schedulerPublicKey: [key],
      driver: 'docker',
      onShutdown: 'keep',
      leaseMarginMs: 2250,
      runRootAllowDisk: false,
    });
  });

  it('understands lists, numbers and objects', () => {
    const config = load({
      TRADEFLEET_SCHEDULER_PUBLIC_KEY: JSON.stringify([key, { ...key, x: 'B'.repeat(43) }]),
      TRADEFLEET_IMAGES: '{"paper":"tradefleet/paper-bot:src-0123456789ab","paper@v2":"paper-bot:v2"}',
      TRADEFLEET_LABELS: '{"region":"eu"}',
      TRADEFLEET_RESERVED_MEMORY_MIB: '512',
      TRADEFLEET_RUN_ROOT_ALLOW_DISK: 'true',
    });
    expect(config.schedulerPublicKey).toHaveLength(2);
    expect(config.auditPublicKey).toEqual([key]);
    expect(config).toMatchObject({
      images: { paper: 'tradefleet/paper-bot:src-0123456789ab', 'paper@v2': 'paper-bot:v2' },
      labels: { region: 'eu' },
      reservedMemoryMib: 512,
      runRootAllowDisk: true,
    });
  });

  it.each([
    ['TRADEFLEET_HOST', 'Not A Name'],
    ['TRADEFLEET_NATS_URL', 'http://elsewhere'],
    ['TRADEFLEET_SCHEDULER_PUBLIC_KEY', 'not a key'],
    ['TRADEFLEET_SCHEDULER_PUBLIC_KEY', JSON.stringify({ ...key, d: 'C'.repeat(43) })],
    ['TRADEFLEET_AUDIT_PUBLIC_KEY', '[]'],
    ['TRADEFLEET_AUDIT_PUBLIC_KEY', JSON.stringify({ ...key, crv: 'X25519' })],
    ['TRADEFLEET_DRIVER', 'podman'],
    ['TRADEFLEET_IMAGES', '{"freqtrade":"x"}'],
    ['TRADEFLEET_IMAGES', '{"paper@":"x"}'],
    ['TRADEFLEET_IMAGES', '{"paper@v2@v3":"x"}'],
    ['TRADEFLEET_ON_SHUTDOWN', 'maybe'],
  ])('refuses %s=%s', (name, value) => {
    expect(() => load({ [name]: value })).toThrow(ConfigurationError);
  });

  it('says what is missing, and where to get it', () => {
    const missing = () => loadConfig(AgentConfig, { prefix: configPrefix, env: {} });
    expect(missing).toThrow(
      /TRADEFLEET_AUDIT_PUBLIC_KEY_FILE\): the public half of the key that .* audit service/,
    );
  });

  it('refuses what it does not know', () => {
    expect(() => load({ TRADEFLEET_HOSTS: 'x' })).toThrow(/TRADEFLEET_HOST/);
  });
});
