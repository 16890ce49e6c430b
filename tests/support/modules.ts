/**
 * The modules of the library, as the compiler reads their source.
 *
 * @module
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import ts from "typescript";
import { root } from "./platform.ts";

/** A module. */
export interface Module {
  /** From the root, with "/". */
  file: string;
  tree: ts.SourceFile;
}

let parsed: Module[] | undefined;

/** Every module of the library, parsed once: that takes a second. */
export const modules = (): Module[] => parsed ??= parseAll();

function parseAll(): Module[] {
  const inLib = readdirSync(join(root, "lib"), { recursive: true }).map((name) =>
    `lib/${name}`.replaceAll("\\", "/")
  );
  const files = ["mod.ts", "cli.ts", ...inLib.filter((file) => file.endsWith(".ts"))];
  return files.sort().map((file) => ({
    file,
    tree: ts.createSourceFile(file, readFileSync(join(root, file), "utf8"), ts.ScriptTarget.Latest, true),
  }));
}

/** Iterates over all nodes of a module, without comments. */
export function* nodesOf(node: ts.Node): Generator<ts.Node> {
  yield node;
  const children: ts.Node[] = [];
  ts.forEachChild(node, (child) => void children.push(child));
  for (const child of children) yield* nodesOf(child);
}

/** Returns the specifiers that a module imports, including those of types; "?" for one that only running it would show. */
export function specifiersOf({ tree }: Module): string[] {
  return [...nodesOf(tree)].flatMap((node) => {
    if (
      (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier !== undefined
    ) {
      return [(node.moduleSpecifier as ts.StringLiteral).text];
    }
    if (ts.isImportTypeNode(node)) return [node.argument.getText().slice(1, -1)];
    if (!ts.isCallExpression(node) || node.expression.kind !== ts.SyntaxKind.ImportKeyword) return [];
    const [first] = node.arguments;
    return [first !== undefined && ts.isStringLiteral(first) ? first.text : "?"];
  });
}

/** Returns the files that a module imports, from the root. */
export const importsOf = (module: Module): string[] => filesOf(module, specifiersOf(module));

/** Returns those loaded with it: neither its types nor its dynamic imports. */
export function loadedWith(module: Module): string[] {
  const statements = module.tree.statements.filter((node) =>
    ts.isImportDeclaration(node)
      ? node.importClause?.isTypeOnly !== true
      : ts.isExportDeclaration(node) && !node.isTypeOnly
  ) as (ts.ImportDeclaration | ts.ExportDeclaration)[];
  return filesOf(
    module,
    statements.flatMap(({ moduleSpecifier }) => (moduleSpecifier as ts.StringLiteral)?.text ?? []),
  );
}

/** Returns its dynamic imports. */
export function loadedLater(module: Module): string[] {
  const calls = [...nodesOf(module.tree)].filter(ts.isCallExpression);
  const imports = calls.filter(({ expression }) => expression.kind === ts.SyntaxKind.ImportKeyword);
  return filesOf(module, imports.map((call) => (call.arguments[0] as ts.StringLiteral).text));
}

function filesOf({ file }: Module, specifiers: string[]): string[] {
  const relative = specifiers.filter((specifier) => specifier.startsWith("."));
  return relative.map((specifier) => join(dirname(file), specifier).replaceAll("\\", "/"));
}
