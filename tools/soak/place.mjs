// Where the soak works: what exists before it, and what must hold at the end.
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const TARGETS = [0, 1, 2, 3].map((number) => `target-${number}`);

/** What belongs to others in the shared directory. */
const FOREIGN = ["tmpforeign", "foreign-directory", "foreign-link"];

/** A directory with everything that the processes need, and with files that none of them may touch. */
export class Place {
  path = mkdtempSync(join(tmpdir(), "mayfly-soak-"));
  #foreign;

  constructor() {
    process.on("exit", () => rmSync(this.path, { recursive: true, force: true }));
    for (const name of ["tmp", "results", "problems", "keeping", "kept", "foreign"]) mkdirSync(this.at(name));
    chmodSync(this.at("tmp"), 0o1777);
    writeFileSync(this.at("foreign", "file"), "outside");
    writeFileSync(this.at("tmp", "tmpforeign"), "foreign");
    mkdirSync(this.at("tmp", "foreign-directory"));
    writeFileSync(this.at("tmp", "foreign-directory", "tmp.lease"), "foreign");
    symlinkSync(this.at("foreign"), this.at("tmp", "foreign-link"));
    writeFileSync(this.at("results", "lock"), "");
    for (const name of TARGETS) writeFileSync(this.at("results", name), `${sha256("")}\n`);
    this.#foreign = this.#snapshot();
  }

  at(...names) {
    return join(this.path, ...names);
  }

  /** Returns what others own, with its contents. */
  #snapshot() {
    const files = [["foreign", "file"], ["tmp", "tmpforeign"], ["tmp", "foreign-directory", "tmp.lease"]];
    const look = (names) => {
      const path = this.at(...names);
      const { ino, mode, mtimeMs } = statSync(path, { throwIfNoEntry: false }) ?? {};
      return [names.join("/"), ino, mode, mtimeMs, existsSync(path) && readFileSync(path, "latin1")];
    };
    const names = ["foreign", "tmp/foreign-directory"].map((name) => readdirSync(this.at(name)));
    return JSON.stringify([...files.map(look), names, existsSync(this.at("tmp", "foreign-link"))]);
  }

  /** Returns what the processes have complained about. */
  problems() {
    return readdirSync(this.at("problems")).map((name) =>
      readFileSync(this.at("problems", name), "utf8").trim()
    );
  }

  /** Returns everything of the processes that is left, except what they were keeping. */
  leftovers() {
    const there = readdirSync(this.at("tmp"));
    const leases = there.filter((name) => name.startsWith(".mayfly-"));
    const known = new Set([...FOREIGN, ...leases, ...readdirSync(this.at("keeping")), ...this.trials()]);
    const results = new Set([...TARGETS, "lock", "inside"]);
    return [
      ...there.filter((name) => !known.has(name)),
      ...leases.flatMap((name) => readdirSync(this.at("tmp", name))),
      ...readdirSync(this.at("results")).filter((name) => !results.has(name)),
    ].map((name) => `${name} is left`);
  }

  /**
   * Returns the leftovers of Deno's trial of a directory: a process killed during the trial leaves one byte that no lease
   * covers.
   */
  trials() {
    return readdirSync(this.at("tmp")).filter((name) =>
      /^tmp[a-z2-9]{13}$/.test(name) && statSync(this.at("tmp", name)).size <= 1
    );
  }

  /** Returns what must exist and does not, or is not what it was. */
  missing() {
    const kept = readdirSync(this.at("kept")).filter((name) => contentsOf(this.at("tmp", name)) !== "kept");
    const foreign = this.#snapshot();
    return [
      ...kept.map((name) => `${name} was kept, and is gone or changed`),
      ...foreign === this.#foreign ? [] : [`what belongs to others was ${this.#foreign}, is ${foreign}`],
      ...TARGETS.filter((name) => !isWhole(contentsOf(this.at("results", name)))).map((name) =>
        `${name} is not a whole file`
      ),
    ];
  }

  /** Returns how many files were kept. */
  kept() {
    return readdirSync(this.at("kept")).length;
  }
}

function contentsOf(path) {
  return existsSync(path) ? readFileSync(path, "latin1") : undefined;
}

function isWhole(text = "") {
  const [sum, body = ""] = text.split("\n");
  return sha256(body) === sum;
}

function sha256(text) {
  return createHash("sha256").update(text).digest("hex");
}
