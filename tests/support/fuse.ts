/**
 * A file system of user space (FUSE), mounted for a child: in memory, without unnamed files.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import process from "node:process";
import { python3 } from "./python.ts";
import { scratch } from "./scratch.ts";

/**
 * Mounts itself on a directory, runs a command, and ends with it. `hides`: a file that is removed while it is open gets
 * another name until it is closed, as on NFS and with libfuse.
 */
const SERVER = `
import ctypes, errno, os, stat, struct, subprocess, sys, threading
top, hides, command = sys.argv[1], sys.argv[2] == "hides", sys.argv[3:]
LOOKUP, FORGET, GETATTR, SETATTR, MKDIR, UNLINK, RMDIR, RENAME, LINK = 1, 2, 3, 4, 9, 10, 11, 12, 13
OPEN, READ, WRITE, STATFS, RELEASE, INIT, OPENDIR, READDIR, RELEASEDIR = 14, 15, 16, 17, 18, 26, 27, 28, 29
CREATE, INTERRUPT, BATCH_FORGET = 35, 36, 42

device = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
if ctypes.CDLL(None, use_errno=True).mount(b"fuse", top.encode(), b"fuse", 0, options) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))

class Inode:
    def __init__(self, mode, uid, gid):
        self.mode, self.uid, self.gid, self.links, self.opens = mode, uid, gid, 1, 0
        self.data, self.names, self.hidden = bytearray(), {}, None

inodes = {1: Inode(stat.S_IFDIR | 0o755, 0, 0)}

def attributes(number):
    node = inodes[number]
    return struct.pack("<6Q10I", number, len(node.data), 0, 0, 0, 0, 0, 0, 0, node.mode, node.links, node.uid, node.gid, 0, 4096, 0)

def entry(number):
    return struct.pack("<4Q2I", number, 0, 0, 0, 0, 0) + attributes(number)

def make(parent, name, mode, uid, gid):
    if name in inodes[parent].names: raise OSError(errno.EEXIST, "")
    number = max(inodes) + 1
    inodes[number] = Inode(mode, uid, gid)
    inodes[parent].names[name] = number
    return entry(number)

def find(parent, name):
    if name not in inodes[parent].names: raise OSError(errno.ENOENT, "")
    return inodes[parent].names[name]

def remove(parent, name):
    number = find(parent, name)
    if inodes[number].names: raise OSError(errno.ENOTEMPTY, "")
    if hides and inodes[number].opens > 0:
        if inodes[number].hidden is not None: raise OSError(errno.EBUSY, "")
        inodes[number].hidden = (parent, b".fuse_hidden%08d" % number)
        return rename(parent, name, *inodes[number].hidden)
    del inodes[parent].names[name]
    inodes[number].links -= 1
    return b""

def opened(number):
    inodes[number].opens += 1
    return bytes(16)

def released(number):
    node = inodes[number]
    node.opens -= 1
    if node.opens == 0 and node.hidden is not None: remove(*node.hidden)
    return b""

def rename(parent, old, to, new):
    number = find(parent, old)
    if new in inodes[to].names: remove(to, new)
    del inodes[parent].names[old]
    inodes[to].names[new] = number
    return b""

def link(parent, number, name):
    if name in inodes[parent].names: raise OSError(errno.EEXIST, "")
    inodes[parent].names[name] = number
    inodes[number].links += 1
    return entry(number)

def change(number, body):
    valid, size, mode, uid, gid = *struct.unpack_from("<I12xQ", body), *struct.unpack_from("<I4x2I", body, 68)
    node = inodes[number]
    if valid & 1: node.mode = mode
    if valid & 2: node.uid = uid
    if valid & 4: node.gid = gid
    if valid & 8: node.data = node.data[:size].ljust(size, b"\\0")
    return struct.pack("<Q2I", 0, 0, 0) + attributes(number)

def write(number, body):
    at, size = struct.unpack_from("<8xQI", body)
    data = inodes[number].data
    if len(data) < at: data.extend(bytes(at - len(data)))
    data[at:at + size] = body[40:40 + size]
    return struct.pack("<2I", size, 0)

def entries(number, body):
    at, size = struct.unpack_from("<8xQI", body)
    answer = b""
    for index, (name, child) in list(enumerate(inodes[number].names.items(), 1))[at:]:
        record = struct.pack("<2Q2I", child, index, len(name), inodes[child].mode >> 12) + name
        record += bytes(-len(record) % 8)
        if len(answer) + len(record) > size: break
        answer += record
    return answer

def answer(opcode, number, uid, gid, body):
    text = lambda at: body[at:].split(b"\\0")
    if opcode == INIT: return struct.pack("<4I2H2I2H8I", 7, 31, 65536, 0, 0, 0, 65536, 1, 0, 0, *[0] * 8)
    if opcode == LOOKUP: return entry(find(number, text(0)[0]))
    if opcode == GETATTR: return struct.pack("<Q2I", 0, 0, 0) + attributes(number)
    if opcode == SETATTR: return change(number, body)
    if opcode == MKDIR: return make(number, text(8)[0], stat.S_IFDIR | struct.unpack_from("<I", body)[0], uid, gid)
    if opcode in (UNLINK, RMDIR): return remove(number, text(0)[0])
    if opcode == RENAME: return rename(number, text(8)[0], struct.unpack_from("<Q", body)[0], text(8)[1])
    if opcode == LINK: return link(number, struct.unpack_from("<Q", body)[0], text(8)[0])
    if opcode == OPEN: return opened(number)
    # Otherwise the kernel keeps lists of directories.
    if opcode == OPENDIR: return bytes(16)
    if opcode == READ:
        at, size = struct.unpack_from("<8xQI", body)
        return bytes(inodes[number].data[at:at + size])
    if opcode == WRITE: return write(number, body)
    if opcode == STATFS: return struct.pack("<5Q10I", 1000, 1000, 1000, 1000, 1000, 4096, 255, 4096, *[0] * 7)
    if opcode == RELEASE: return released(number)
    if opcode == RELEASEDIR: return b""
    if opcode == READDIR: return entries(number, body)
    if opcode == CREATE:
        made = make(number, text(16)[0], struct.unpack_from("<4xI", body)[0], uid, gid)
        return made + opened(struct.unpack_from("<Q", made)[0])
    raise OSError(errno.ENOSYS, "")

def serve():
    while True:
        request = os.read(device, 1 << 17)
        _, opcode, unique, number, uid, gid = struct.unpack_from("<2I2Q2I", request)
        # The kernel forgets an inode, or a call is interrupted: no answer is expected.
        if opcode in (FORGET, INTERRUPT, BATCH_FORGET): continue
        try: error, reply = 0, answer(opcode, number, uid, gid, request[40:])
        except OSError as failure: error, reply = -failure.errno, b""
        os.write(device, struct.pack("<IiQ", 16 + len(reply), error, unique) + reply)

threading.Thread(target=serve, daemon=True).start()
status = subprocess.call(command, close_fds=False)
os._exit(status if status >= 0 else 1)
`;

/** The command that runs a child in a mount namespace with such a file system on `directory`. */
export const withFuse = (directory: string, variant: "plain" | "hides"): string[] => [
  "unshare",
  "-m",
  python3,
  "-c",
  SERVER,
  directory,
  variant,
];

/** The reason why it cannot be mounted; false if it can. */
export const noFuse: string | false = canMount() ? false : "needs root, FUSE and Python";

function canMount(): boolean {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return false;
  using place = scratch();
  const [command, ...args] = withFuse(place.path, "plain");
  return spawnSync(command, [...args, "true"], { timeout: 10_000 }).status === 0;
}
