/** Who may import whom; the reasons are in docs/ARCHITECTURE. */
const only = (name, pkg, allowed, comment) => ({
  name,
  comment,
  severity: 'error',
  from: { pathNot: allowed },
  to: { path: `(^|/)node_modules/(${pkg})(/|$)`, dependencyTypesNot: ['type-only'] },
});

module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'no-unresolved',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'services-stand-alone',
      comment: 'A service imports libs only; what two services share is a lib or a message.',
      severity: 'error',
      from: { path: '^services/([^/]+)/' },
      to: { path: '^services/([^/]+)/', pathNot: '^services/$1/' },
    },
    {
      name: 'libs-below-services',
      severity: 'error',
      from: { path: '^libs/' },
      to: { path: '^(services|cli|deploy|bench|chaos|proof|e2e)/' },
    },
    {
      name: 'proof-stands-above',
      comment: 'It alone may import several services, so nothing may import it.',
      severity: 'error',
      from: { pathNot: '^proof/' },
      to: { path: '^proof/' },
    },
    {
      name: 'contracts-without-framework',
      severity: 'error',
      from: { path: '^libs/contracts/' },
      to: { path: 'node_modules/', pathNot: 'node_modules/zod/' },
    },
    {
      name: 'policy-is-pure',
      comment:
        'Decisions without clock, randomness or input: messages give the types, nothing else is known.',
      severity: 'error',
      from: { path: '^libs/policy/' },
      to: { path: '(node_modules/|^libs/(?!policy/|contracts/))' },
    },
    {
      name: 'tlog-is-pure',
      comment: 'Hashes, proofs and signatures; whoever verifies a log needs nothing else of the fleet.',
      severity: 'error',
      from: { path: '^libs/tlog/' },
      to: { path: '(node_modules/|^libs/(?!tlog/)|^(node:)?(fs|net|http|child_process))' },
    },
    {
      name: 'evidence-without-the-fleet',
      comment: 'A log is verified from files, by whoever has them.',
      severity: 'error',
      from: { path: '^libs/evidence/' },
      to: { path: '(node_modules/(?!zod/)|^libs/(?!evidence/|tlog/|contracts/))' },
    },
    {
      name: 'testing-only-in-tests',
      comment: 'Local fleet and benchmarks start the same real servers as the tests.',
      severity: 'error',
      from: { path: '^(services|libs|cli)/', pathNot: '(\\.(spec|harness)\\.ts$|/testing/|/contract/)' },
      to: { path: '^libs/testing/' },
    },
    only(
      'nats-only-in-messaging',
      '@nats-io',
      '(^libs/messaging/|\\.(spec|harness)\\.ts$|/testing/|^e2e/|^bench/|^proof/)',
      'One wrapper for NATS.',
    ),
    only(
      'docker-only-in-driver',
      'dockerode',
      '(^services/agent/src/drivers/docker/|\\.(spec|harness)\\.ts$|/testing/|^e2e/|^bench/)',
      'One wrapper for Docker.',
    ),
    only(
      'typeorm-behind-repositories',
      'typeorm|@nestjs/typeorm|pg',
      '(^libs/persistence/|\\.repository\\.ts$|\\.entity\\.ts$|\\.leadership\\.ts$|\\.module\\.ts$|/migrations/|/database/|\\.(spec|harness)\\.ts$|/testing/|^e2e/|^bench/|^proof/)',
      'Only repositories touch the database; others may name its types.',
    ),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^dist/|\\.spec\\.ts$)' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['types', 'source', 'import', 'node', 'default'],
    },
  },
};
