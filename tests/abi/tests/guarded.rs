//! The body of every exported function is one guard.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use mlflow_trace_abi_tests::source;
use syn::{Block, Expr, Item, Stmt};

const GUARDS: [&str; 2] = ["guard", "guard_or"];

/// Whether a block is `guard(.., || ..)` or `unsafe { guard(.., || ..) }` and nothing else.
fn is_guard(block: &Block) -> bool {
    let [Stmt::Expr(expression, None)] = block.stmts.as_slice() else {
        return false;
    };
    match expression {
        Expr::Unsafe(inner) => is_guard(&inner.block),
        Expr::Call(call) => {
            let guarded = match &*call.func {
                Expr::Path(path) => GUARDS.iter().any(|name| path.path.is_ident(name)),
                _ => false,
            };
            // Work in an argument would run outside: only names, constants and the closure may stand there.
            let (body, others) = match call.args.iter().collect::<Vec<_>>().split_last() {
                Some((body, others)) => (*body, others.to_vec()),
                None => return false,
            };
            guarded && matches!(body, Expr::Closure(_)) && others.into_iter().all(is_constant)
        }
        _ => false,
    }
}

fn is_constant(expression: &Expr) -> bool {
    match expression {
        Expr::Path(_) | Expr::Lit(_) => true,
        Expr::Tuple(tuple) => tuple.elems.is_empty(),
        Expr::MethodCall(call) => {
            call.method == "as_ptr" && matches!(&*call.receiver, Expr::Lit(_))
        }
        _ => false,
    }
}

#[test]
fn every_exported_function_is_guarded() {
    let modules = source::modules().unwrap();
    let exports = source::exports(&modules);
    assert!(exports.len() > 40, "only {} functions found", exports.len());
    for export in exports {
        assert!(
            is_guard(&export.function.block),
            "{} is not one guard",
            export.name()
        );
    }
}

#[test]
fn nothing_is_exported_elsewhere() {
    let modules = source::modules().unwrap();
    let public: Vec<_> = modules.iter().map(|module| module.path.clone()).collect();
    for path in source::files().unwrap() {
        if public.contains(&path) {
            continue;
        }
        for item in source::parse(&path).unwrap().items {
            if let Item::Fn(function) = item {
                assert!(
                    function.sig.abi.is_none(),
                    "{} has an extern function outside the header's modules",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn the_check_can_fail() {
    for body in [
        "{ 1 }",
        "{ work(); guard(error, || Ok(())) }",
        "{ guard(error, work()) }",
        "{ guard_or(work(), || 1) }",
        "{ unguarded(error, || Ok(())) }",
    ] {
        assert!(!is_guard(&syn::parse_str(body).unwrap()), "{body}");
    }
    assert!(is_guard(
        &syn::parse_str("{ unsafe { guard(error, || Ok(())) } }").unwrap()
    ));
}
