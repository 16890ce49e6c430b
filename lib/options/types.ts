/**
 * The options of the creating functions.
 *
 * @module
 */

/** Where to create, and when to give up. */
export interface PlaceOptions {
  /**
   * The parent directory, as a path or a `file:` URL. Symbolic links in it are resolved.
   *
   * @default {tmpdir()}
   */
  dir?: string | URL | undefined;
  /**
   * Bytes that must be available on the file system; with less, creation fails with `ENOSPC`.
   *
   * @default {0}
   */
  minFree?: number | undefined;
  /** Aborts an asynchronous call; nothing is left behind. */
  signal?: AbortSignal | undefined;
}

/** The name and the permissions. */
export interface NameOptions {
  /**
   * The beginning of the name: text that is valid in a file name on every platform.
   *
   * @default {"tmp"}
   */
  prefix?: string | undefined;
  /**
   * The end of the name, such as `".txt"`.
   *
   * @default {""}
   */
  suffix?: string | undefined;
  /**
   * Permission bits, set by the creating call itself. If given, they are exact: bits removed by the umask are restored.
   *
   * @default {0o600 for files, 0o700 for directories}
   */
  mode?: number | undefined;
}

/** Encodings of text in files. */
export type Encoding = "utf-8" | "utf-16le" | "latin1";

/** How the contents are written and read. */
export interface ContentOptions {
  /**
   * The encoding in which strings are written and read.
   *
   * @default {"utf-8"}
   */
  encoding?: Encoding | undefined;
  /**
   * Converts line endings in strings as they are written; without it they stay as they are. Each string is converted on
   * its own: if a `\r\n` is split across two, its `\n` counts as a line ending.
   */
  newline?: "\n" | "\r\n" | undefined;
  /**
   * Bytes to buffer before a system call. Buffered data is lost when the process ends, even if the file stays: call
   * `flush()` or `close()`.
   *
   * @default {64 KiB for files without a name, 0 for files with one}
   */
  bufferSize?: number | undefined;
  /**
   * The largest size in bytes. A write that would exceed it fails with `EFBIG` and writes nothing.
   *
   * @default {Infinity}
   */
  maxSize?: number | undefined;
  /**
   * Whether reading malformed text throws instead of substituting U+FFFD.
   *
   * @default {false}
   */
  fatal?: boolean | undefined;
}

/** Options of {@linkcode temporaryFile}. */
export interface FileOptions extends PlaceOptions, NameOptions, ContentOptions {}

/** Options of {@linkcode namedTemporaryFile}. */
export interface NamedFileOptions extends FileOptions {
  /**
   * `false`: Mayfly never removes the file.
   *
   * @default {true}
   */
  delete?: boolean | undefined;
  /**
   * `false`: `close()` only closes the file; the end of the scope removes it.
   *
   * @default {true}
   */
  deleteOnClose?: boolean | undefined;
}

/** Options of {@linkcode spooledTemporaryFile}. */
export interface SpooledOptions extends Omit<FileOptions, "signal"> {
  /**
   * Bytes kept in memory. A write that would exceed this first moves everything to disk. With 0 the file is on disk
   * from the first byte.
   *
   * @default {1 MiB}
   */
  maxMemory?: number | undefined;
}

/** Options of {@linkcode temporaryDirectory}. */
export interface DirectoryOptions extends PlaceOptions, NameOptions {
  /**
   * `false`: Mayfly never removes the directory.
   *
   * @default {true}
   */
  delete?: boolean | undefined;
  /**
   * `true`: `remove()` returns what it could not remove instead of throwing.
   *
   * @default {false}
   */
  ignoreCleanupErrors?: boolean | undefined;
}

/** Options of {@linkcode mkstemp} and {@linkcode mkdtemp}. */
export interface MakeOptions extends PlaceOptions, NameOptions {}
