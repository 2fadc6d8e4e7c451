"""Writes a library in C that has every function of the header and does nothing.

    stub.py include/mlflow_trace.h ffi/abi/symbols.txt > stub.c

Compiled with debugging information it shows abidiff the ABI as C callers see it: types, layouts and signatures. The
library itself, being Rust, has them only in a form that abidiff cannot read; that both sides agree is what the tests of
header and layout are for.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "c"))

from header import Function, read


def stub(function: Function) -> str:
    parameters = [f"{p.type} {p.name}" for p in function.parameters]
    unused = " ".join(f"(void){p.name};" for p in function.parameters)
    result = (
        "" if function.result == "void" else f" {{ static {function.result} none; return none; }}"
    )
    return (
        f"{function.result} {function.name}({', '.join(parameters) or 'void'})\n"
        f"{{ {unused}{result} }}\n"
    )


def main() -> None:
    header = Path(sys.argv[1]).read_text()
    print('#include "mlflow_trace.h"')
    # Macros leave no trace in a library; an enumeration of their values does.
    print("enum numbers {")
    for name, value in re.findall(r"^#define (MLFLOW_\w+) (\d+)$", header, re.MULTILINE):
        print(f"    number_{name} = {value},")
    print("};\nenum numbers numbers(void);\nenum numbers numbers(void) { return 0; }")
    for function in read(Path(sys.argv[1]), Path(sys.argv[2])):
        print(stub(function))


if __name__ == "__main__":
    main()
