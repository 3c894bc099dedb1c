// Four projects: `unit` is pure and fast; `netns` needs root and builds throwaway network namespaces (see test/netns/README.md);
// `kube` starts a real kube-apiserver; `uml` does so inside user-mode-linux, about twenty times slower (test/uml/run.sh).
const common = {
  testEnvironment: 'node',
  modulePathIgnorePatterns: ['<rootDir>/.cache/', '<rootDir>/dist/'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      { jsc: { parser: { syntax: 'typescript' }, target: 'es2024' }, module: { type: 'es6' }, sourceMaps: 'inline' },
    ],
  },
}

export default {
  testTimeout: 300_000, // a limit tells a hang from a wait: a busy machine is slow
  maxWorkers: '100%', // jest's own choice leaves a core idle
  projects: [
    {
      ...common,
      displayName: 'unit',
      testMatch: ['<rootDir>/test/**/*.test.ts'],
      testPathIgnorePatterns: ['/node_modules/', '<rootDir>/test/netns/', '<rootDir>/test/kube/', '<rootDir>/test/uml/'],
    },
    { ...common, displayName: 'netns', testMatch: ['<rootDir>/test/netns/**/*.test.ts'] },
    { ...common, displayName: 'kube', testMatch: ['<rootDir>/test/kube/**/*.test.ts'] },
    { ...common, displayName: 'uml', testMatch: ['<rootDir>/test/uml/**/*.test.ts'] },
  ],
}
