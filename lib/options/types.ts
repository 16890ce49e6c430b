/**
 * The options of the functions that create.
 *
 * @module
 */

/** Where to create, and until when to try. */
export interface PlaceOptions {
  /**
   * The parent directory, as a path or a `file:` URL. Links in it are resolved.
   *
   * @default {tmpdir()}
   */
  dir?: string | URL;
  /** Creation fails with `ENOSPC` if the file system has fewer bytes available. */
  minFree?: number;
  /** Aborts an asynchronous call; nothing is left behind. */
  signal?: AbortSignal;
}

/** How to name. */
export interface NameOptions {
  /**
   * The beginning of the name: one path component's worth of text.
   *
   * @default {"tmp"}
   */
  prefix?: string;
  /**
   * The end of the name, such as `".txt"`.
   *
   * @default {""}
   */
  suffix?: string;
  /**
   * Permission bits, set in the creating call. Given, they are exact: bits that the umask took are put back.
   *
   * @default {0o600 for files, 0o700 for directories}
   */
  mode?: number;
}

/** Encodings of strings in files. */
export type Encoding = "utf-8" | "utf-16le" | "latin1";

/** How a file is written and read. */
export interface ContentOptions {
  /**
   * How strings are written and read.
   *
   * @default {"utf-8"}
   */
  encoding?: Encoding;
  /**
   * Rewrites the ends of lines in strings as they are written, in each by itself: of a `\r\n` that lies across two, the `\n`
   * is one.
   */
  newline?: "\n" | "\r\n";
  /**
   * Bytes gathered before a system call. What is gathered when the process ends is lost, also of a file that stays: call
   * `flush()` or `close()`.
   *
   * @default {64 KiB for files without a name, 0 for files with one}
   */
  bufferSize?: number;
  /** A write that would make the file larger fails with `EFBIG`, and nothing of it is written. */
  maxSize?: number;
  /**
   * Whether malformed text throws on reading rather than being replaced by U+FFFD.
   *
   * @default {false}
   */
  fatal?: boolean;
}

/** Options of {@linkcode temporaryFile}. */
export interface FileOptions extends PlaceOptions, NameOptions, ContentOptions {}

/** Options of {@linkcode namedTemporaryFile}. */
export interface NamedFileOptions extends FileOptions {
  /**
   * `false`: Mayfly never removes it.
   *
   * @default {true}
   */
  delete?: boolean;
  /**
   * `false`: `close()` only closes, the end of the scope removes.
   *
   * @default {true}
   */
  deleteOnClose?: boolean;
}

/** Options of {@linkcode spooledTemporaryFile}. */
export interface SpooledOptions extends Omit<FileOptions, "signal"> {
  /**
   * Bytes kept in memory: a write that would pass it moves everything to disk first. 0: on disk from the first byte.
   *
   * @default {1 MiB}
   */
  maxMemory?: number;
}

/** Options of {@linkcode temporaryDirectory}. */
export interface DirectoryOptions extends PlaceOptions, NameOptions {
  /**
   * `false`: Mayfly never removes it.
   *
   * @default {true}
   */
  delete?: boolean;
  /**
   * `remove()` returns what it could not remove instead of throwing.
   *
   * @default {false}
   */
  ignoreCleanupErrors?: boolean;
}

/** Options of {@linkcode mkstemp} and {@linkcode mkdtemp}. */
export interface MakeOptions extends PlaceOptions, NameOptions {}
