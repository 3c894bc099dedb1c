// Where the settings below /proc/sys/net are written. In a container /proc/sys is read-only, and runtimes refuse to mount anything
// below /proc (runc, checkProcMount); so the host's /proc/sys/net is mounted here then. What is read and written through it belongs to
// the network namespace of the calling thread all the same (fs/proc/proc_sysctl.c asks the task, not the mount).
import fs from 'node:fs'

const MOUNTED = '/host/proc/sys'

/** `/proc/sys`, or the folder in its place. Holds at least `net/`; always readable, and writable if anything is. */
export const WRITABLE_PROC_SYS: string = fs.existsSync(`${MOUNTED}/net/ipv4`) ? MOUNTED : '/proc/sys'
