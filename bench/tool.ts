// Entry point of every bench tool process: one argument, its settings as JSON.
import { unreachable } from '../src/lib/result.ts'
import { runClients } from './clients.ts'
import { runFeeder } from './feeder.ts'
import { runReceiver } from './receiver.ts'
import { Parent } from './tool-parent.ts'
import type { ToolSettings } from './tool-protocol.ts'

function run(settings: ToolSettings, parent: Parent): Promise<void> {
  switch (settings.role) {
    case 'feeder':
      return runFeeder(settings, parent)
    case 'receiver':
      return runReceiver(settings, parent)
    case 'clients':
      return runClients(settings, parent)
    default:
      return unreachable(settings)
  }
}

const parent = new Parent()
process.on('uncaughtException', (error) => parent.fail(error.stack ?? error.message))
run(JSON.parse(process.argv[2] ?? '') as ToolSettings, parent).catch((error: Error) => parent.fail(error.stack ?? error.message))
