//! The sources of the `ffi` crate, parsed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use syn::{Attribute, Expr, File, Item, ItemFn, Lit, Meta, Visibility};

/// A module of the ABI: one group of the header.
pub struct Module {
    /// Its name, which is that of its file.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its contents.
    pub file: File,
}

/// An exported function.
pub struct Export<'a> {
    /// The module that it stands in.
    pub module: &'a Module,
    /// The function.
    pub function: &'a ItemFn,
}

impl Export<'_> {
    /// The C name.
    pub fn name(&self) -> String {
        self.function.sig.ident.to_string()
    }

    /// The documentation.
    pub fn doc(&self) -> String {
        doc(&self.function.attrs)
    }

    /// What follows `Since: ` in the documentation, without the full stop.
    pub fn since(&self) -> Option<String> {
        let doc = self.doc();
        let line = doc.lines().find_map(|line| line.strip_prefix("Since: "))?;
        Some(line.trim_end_matches('.').to_owned())
    }
}

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The public modules of the crate in the order of its `lib.rs`, which is that of the header.
pub fn modules() -> io::Result<Vec<Module>> {
    let folder = root().join("ffi/src");
    let library = parse(&folder.join("lib.rs"))?;
    let public = library.items.into_iter().filter_map(|item| match item {
        Item::Mod(module) if matches!(module.vis, Visibility::Public(_)) => {
            Some(module.ident.to_string())
        }
        _ => None,
    });
    public
        .map(|name| {
            let path = folder.join(format!("{name}.rs"));
            let file = parse(&path)?;
            Ok(Module { name, path, file })
        })
        .collect()
}

/// Every function with an unmangled name, in the modules' order.
pub fn exports(modules: &[Module]) -> Vec<Export<'_>> {
    modules
        .iter()
        .flat_map(|module| {
            module.file.items.iter().filter_map(move |item| match item {
                Item::Fn(function) if function.sig.abi.is_some() => {
                    Some(Export { module, function })
                }
                _ => None,
            })
        })
        .collect()
}

/// The names that a module puts into the header.
pub fn names(module: &Module) -> Vec<String> {
    let public = |vis: &Visibility| matches!(vis, Visibility::Public(_));
    module
        .file
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Const(item) if public(&item.vis) => Some(item.ident.to_string()),
            Item::Struct(item) if public(&item.vis) => Some(item.ident.to_string()),
            Item::Type(item) if public(&item.vis) => Some(item.ident.to_string()),
            Item::Union(item) if public(&item.vis) => Some(item.ident.to_string()),
            Item::Fn(item) if public(&item.vis) => Some(item.sig.ident.to_string()),
            _ => None,
        })
        .collect()
}

/// The text of documentation comments, a line each, without the space that begins them.
pub fn doc(attributes: &[Attribute]) -> String {
    attributes
        .iter()
        .filter_map(|attribute| match &attribute.meta {
            Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
                Expr::Lit(literal) => match &literal.lit {
                    Lit::Str(text) => Some(text.value()),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        })
        .map(|line| line.strip_prefix(' ').unwrap_or(&line).to_owned())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Every Rust file of the crate.
pub fn files() -> io::Result<Vec<PathBuf>> {
    fs::read_dir(root().join("ffi/src"))?
        .map(|entry| Ok(entry?.path()))
        .collect()
}

/// Parses a Rust file.
pub fn parse(path: &Path) -> io::Result<File> {
    let text = fs::read_to_string(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    syn::parse_file(&text).map_err(|error| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{}: {error}", path.display()),
        )
    })
}
