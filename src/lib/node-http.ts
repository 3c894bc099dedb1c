// `node:http` without what importing it by name costs: an import reads every export, and those of WebSocket and its kin load a
// whole HTTP client: 12 MiB and 40 ms in every process.
export const http = process.getBuiltinModule('node:http')
