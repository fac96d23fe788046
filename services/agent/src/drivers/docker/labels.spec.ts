import { describe, expect, it } from '@jest/globals';
import { aTask } from '../contract/task.builder.js';
import { label, labelsOf, readLabels } from './labels.js';

describe('labels', () => {
  it('say what they were made of', () => {
    const task = aTask({ epoch: 2_147_483_647 });
    const { allocation, tenant, bot, account, epoch, host, runtime } = task;
    expect(readLabels(labelsOf(task, 'fleet'))).toEqual({
      fleet: 'fleet',
      allocation,
      tenant,
      bot,
      account,
      epoch,
      host,
      runtime,
    });
  });

  it('are not guessed: each is needed, and what is wrong is named', () => {
    const labels = labelsOf(aTask(), 'fleet');
    for (const name of Object.values(label)) {
      const others = Object.entries(labels).filter(([key]) => key !== name);
      expect(readLabels(Object.fromEntries(others))).toEqual({
        why: `labels missing or not understood: ${name}`,
      });
    }
  });

  it.each(['0', '-1', '1.5', '1e3', ' 1', '99999999999', 'x', ''])(
    'do not take "%s" for an epoch',
    (epoch) => {
      expect(readLabels({ ...labelsOf(aTask(), 'fleet'), [label.epoch]: epoch })).toHaveProperty('why');
    },
  );
});
