/**
 * Programs on a terminal of their own, which prints what they write to both streams.
 *
 * @module
 */
import { hasPython, python3 } from "./python.ts";

/** The reason why there is no terminal; false if there is one. */
export const noTerminal: string | false = !hasPython && "needs Python for a terminal";

/**
 * Runs a program on a terminal. When it prints "ready", the keys are pressed. A prompt of Deno's for a permission is
 * answered by SIGKILL. Exits as the program does.
 */
const TERMINAL = `
import fcntl, os, pty, signal, struct, sys, termios, time
columns, keys, command = int(sys.argv[1]), sys.argv[2].encode(), sys.argv[3:]
pid, fd = pty.fork()
if pid == 0:
    if columns: fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    os.execvp(command[0], command)
seen = b""
while True:
    try: data = os.read(fd, 65536)
    except OSError: break
    if not data: break
    os.write(1, data)
    seen += data
    if b"Deno requests" in seen: os.kill(pid, signal.SIGKILL)
    if keys and b"ready" in seen:
        time.sleep(0.1)
        os.write(fd, keys)
        keys = b""
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
sys.exit(status if status >= 0 else 128 - status)
`;

/** Goes before the command of a program. Where the terminal has a size, Deno itself writes escape sequences to it. */
export const onTerminal = (
  columns = 0,
  keys = "",
): string[] => [python3, "-c", TERMINAL, `${columns}`, keys];
