//! Shortens the names of functions in a module: they are there so that a person can read where a policy trapped, and in the
//! compiler's own form they can weigh a third of the module.

use anyhow::{Context, Result};
use wasm_encoder::{Module, NameMap, NameSection, RawSection};
use wasmparser::{KnownCustom, Name, NameSectionReader, Parser, Payload};

/// The most bytes of one name. What is beyond is cut from the beginning, because the end says more.
const MAX_NAME_BYTES: usize = 40;

/// Copies a module with every function's name as it reads in the source, without the compiler's hash, at most
/// [`MAX_NAME_BYTES`] long. All other names are left out.
pub(crate) fn shorten(module: &[u8]) -> Result<Vec<u8>> {
    let mut copy = Module::new();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.context("the compiled module cannot be read")?;
        if let Payload::CustomSection(custom) = &payload
            && let KnownCustom::Name(names) = custom.as_known()
        {
            copy.section(&function_names(names)?);
        } else if let Some((id, range)) = payload.as_section() {
            let data = module.get(range).context("a section lies outside of the module")?;
            copy.section(&RawSection { id, data });
        }
    }
    Ok(copy.finish())
}

fn function_names(names: NameSectionReader<'_>) -> Result<NameSection> {
    let mut short = NameMap::new();
    for subsection in names {
        if let Name::Function(functions) = subsection? {
            for function in functions {
                let function = function?;
                short.append(function.index, &short_name(function.name));
            }
        }
    }
    let mut section = NameSection::new();
    section.functions(&short);
    Ok(section)
}

fn short_name(name: &str) -> String {
    let readable = format!("{:#}", rustc_demangle::demangle(name));
    let beyond = readable.len().saturating_sub(MAX_NAME_BYTES);
    let start = (beyond..=readable.len()).find(|place| readable.is_char_boundary(*place));
    readable.get(start.unwrap_or(0)..).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_as_in_the_source_without_hash() {
        assert_eq!(
            short_name("_ZN15tidegate_policy8template11PodTemplate9into_json17h7d6c699fb648e1b0E"),
            "policy::template::PodTemplate::into_json"
        );
        assert_eq!(short_name("cabi_realloc"), "cabi_realloc");
    }

    #[test]
    fn a_long_name_keeps_its_end() {
        let long = short_name(&format!("{}::é::render", "a".repeat(80)));
        assert!(long.len() <= MAX_NAME_BYTES && long.ends_with("a::é::render"), "{long}");
        let cut_inside_of_a_letter = short_name(&"é".repeat(21));
        assert_eq!(cut_inside_of_a_letter, "é".repeat(20));
    }

    #[test]
    fn all_else_of_the_module_stays() {
        let mut names = NameMap::new();
        names.append(0, "_ZN4core3ptr4read17hfea09a4aecc1da0aE");
        let mut section = NameSection::new();
        section.functions(&names);
        let mut module = Module::new();
        let other = RawSection { id: 0, data: &[5, b'o', b't', b'h', b'e', b'r', 1, 2] };
        module.section(&other).section(&section);
        let mut expected = NameMap::new();
        expected.append(0, "core::ptr::read");
        let mut section = NameSection::new();
        section.functions(&expected);
        let mut copy = Module::new();
        copy.section(&other).section(&section);
        assert_eq!(shorten(&module.finish()).expect("it is a module"), copy.finish());
    }
}
