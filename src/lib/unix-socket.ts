// Whether somebody is there: a unix socket's file stays when the process that listened on it is gone.
import { connect } from 'node:net'

/** True if a living process listens on this unix socket. */
export function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path)
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.once('error', () => resolve(false))
  })
}
