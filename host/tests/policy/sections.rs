//! Sections that no toolchain writes, put behind those of a component that is in order.

use wasmparser::{Parser, Payload};

/// How a component begins.
const PREAMBLE: &[u8] = b"\0asm\x0d\0\x01\0";
/// A core module that holds nothing.
const EMPTY_MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// The kinds of sections, by the binary format.
const CORE_MODULE: u8 = 1;
const CORE_INSTANCES: u8 = 2;
const COMPONENT: u8 = 4;
const INSTANCES: u8 = 5;
const TYPES: u8 = 7;

/// The component with one more inside that has so many core instances, which are made when it is started.
pub(crate) fn instances(component: Vec<u8>, count: u32) -> Vec<u8> {
    // Each is made of module 0 and gets nothing.
    let made = vector(count, |_| vec![0x00, 0x00, 0x00]);
    let inside = [PREAMBLE, &section(CORE_MODULE, EMPTY_MODULE), &section(CORE_INSTANCES, &made)];
    let index = components_of(&component);
    // One, of that component, which gets nothing.
    let instance = vector(1, |_| [&[0x00][..], &number(index), &[0x00]].concat());
    [component, section(COMPONENT, &inside.concat()), section(INSTANCES, &instance)].concat()
}

/// The component with one inside one inside one.
pub(crate) fn nested(component: Vec<u8>, depth: usize) -> Vec<u8> {
    let innermost = PREAMBLE.to_vec();
    let inside =
        (1..depth).fold(innermost, |inside, _| [PREAMBLE, &section(COMPONENT, &inside)].concat());
    [component, section(COMPONENT, &inside)].concat()
}

/// The component with one more inside, whose every type is a pair of the one before.
pub(crate) fn types_of_twice_the_size(component: Vec<u8>, count: u32) -> Vec<u8> {
    const TUPLE: u8 = 0x6f;
    const TEXT: u8 = 0x73;
    let types = vector(count, |at| match at.checked_sub(1) {
        None => vec![TUPLE, 2, TEXT, TEXT],
        Some(before) => [&[TUPLE, 2][..], &number(before), &number(before)].concat(),
    });
    let inside = [PREAMBLE, &section(TYPES, &types)].concat();
    [component, section(COMPONENT, &inside)].concat()
}

/// How many components lie right within this one.
fn components_of(component: &[u8]) -> u32 {
    let mut depth = 0_u32;
    let mut found = 0;
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload.expect("the component is in order");
        let is_component = matches!(payload, Payload::ComponentSection { .. });
        found += u32::from(is_component && depth == 0);
        if is_component || matches!(payload, Payload::ModuleSection { .. }) {
            depth += 1;
        } else if matches!(payload, Payload::End(_)) {
            depth = depth.saturating_sub(1);
        }
    }
    found
}

fn section(kind: u8, content: &[u8]) -> Vec<u8> {
    let size = u32::try_from(content.len()).expect("sections are small");
    [&[kind][..], &number(size), content].concat()
}

fn vector(count: u32, item: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    [number(count), (0..count).flat_map(item).collect()].concat()
}

/// LEB128, with a byte more where the last would be read as a negative number.
fn number(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).expect("seven bits");
        value >>= 7;
        if value == 0 && low & 0x40 == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
