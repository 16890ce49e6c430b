/**
 * What a caller can pass to the library, according to its exported types.
 *
 * @module
 */
import { join } from "node:path";
import ts from "typescript";
import { root } from "./platform.ts";

/** One thing that a caller passes: an argument, or a property of an options object. */
export interface Input {
  /** The function, or the class and its method, such as `"TemporaryFile.write"`. */
  of: string;
  /** The name of the argument or of the option. */
  name: string;
  /** As the compiler prints it, without `undefined`. */
  type: string;
  /** The index of the argument, or of the one that contains the option. */
  index: number;
  /** Whether it is a property of an argument. */
  isOption: boolean;
  /** Whether the function returns a promise. */
  isAsync: boolean;
}

const PROGRAM: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2023,
  lib: ["lib.es2023.d.ts", "lib.esnext.disposable.d.ts", "lib.dom.d.ts"],
  types: [],
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  allowImportingTsExtensions: true,
  noEmit: true,
  strict: true,
};

/** Returns everything that the functions and classes of the public module take. */
export function inputs(): Input[] {
  const program = ts.createProgram([join(root, "mod.ts")], PROGRAM);
  return new Surface(program).inputs();
}

class Surface {
  readonly #checker: ts.TypeChecker;
  readonly #module: ts.SourceFile;

  constructor(program: ts.Program) {
    this.#checker = program.getTypeChecker();
    this.#module = program.getSourceFile(join(root, "mod.ts"))!;
  }

  inputs(): Input[] {
    const symbol = this.#checker.getSymbolAtLocation(this.#module)!;
    return this.#checker.getExportsOfModule(symbol).flatMap((exported) => this.#ofExport(exported));
  }

  #ofExport(exported: ts.Symbol): Input[] {
    const symbol = exported.flags & ts.SymbolFlags.Alias
      ? this.#checker.getAliasedSymbol(exported)
      : exported;
    const type = this.#checker.getTypeOfSymbolAtLocation(symbol, this.#module);
    if (symbol.flags & ts.SymbolFlags.Function) return this.#ofSignatures(exported.name, type);
    if (!(symbol.flags & ts.SymbolFlags.Class)) return [];
    const made = this.#checker.getDeclaredTypeOfSymbol(symbol);
    const methods = made.getProperties().filter((property) => isPublic(property) && isOwn(property, symbol));
    return [
      ...type.getConstructSignatures().flatMap((signature) =>
        this.#ofSignature(`new ${exported.name}`, signature)
      ),
      ...methods.flatMap((method) =>
        this.#ofSignatures(
          `${exported.name}.${method.name}`,
          this.#checker.getTypeOfSymbolAtLocation(method, this.#module),
        )
      ),
    ];
  }

  #ofSignatures(of: string, type: ts.Type): Input[] {
    return type.getCallSignatures().flatMap((signature) => this.#ofSignature(of, signature));
  }

  #ofSignature(of: string, signature: ts.Signature): Input[] {
    const isAsync = this.#checker.typeToString(signature.getReturnType()).startsWith("Promise<");
    return signature.getParameters().flatMap((parameter, index) => {
      const type = this.#checker.getNonNullableType(
        this.#checker.getTypeOfSymbolAtLocation(parameter, this.#module),
      );
      const whole = { name: parameter.name, type: this.#checker.typeToString(type), isOption: false };
      const options = this.#options(type).map((option) => ({ ...option, isOption: true }));
      return [whole, ...options].map((input) => ({ of, index, isAsync, ...input }));
    });
  }

  /** Returns the properties of a type that the library declares as options. */
  #options(type: ts.Type): { name: string; type: string }[] {
    const properties = type.getProperties();
    if (
      type.isUnion() || properties.length === 0 || !properties.every((property) => this.#isOurs(property))
    ) {
      return [];
    }
    return properties.map((property) => ({
      name: property.name,
      type: this.#checker.typeToString(
        this.#checker.getNonNullableType(this.#checker.getTypeOfSymbolAtLocation(property, this.#module)),
      ),
    }));
  }

  #isOurs(property: ts.Symbol): boolean {
    return property.declarations?.every((one) => ts.isPropertySignature(one) && isInProject(one)) ?? false;
  }
}

const isInProject = (node: ts.Node): boolean => !node.getSourceFile().isDeclarationFile;

const isPublic = (property: ts.Symbol): boolean => !property.name.includes("#");

/** Whether the class itself declares a method, not one that it extends. */
const isOwn = (property: ts.Symbol, of: ts.Symbol): boolean =>
  property.declarations?.some((declaration) => declaration.parent === of.valueDeclaration) ?? false;
