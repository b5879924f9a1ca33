//! Unpacks a component, stopping at a cap while it does.

use std::fmt;
use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

use super::fault::LoadError;

/// Bytes of an unpacked component. Policies in Rust have about a tenth of a MiB, interpreters that carry a language five.
pub const COMPONENT_MAX_BYTES: usize = 8 * 1024 * 1024;

/// Bytes that zstd may look back, which the decoder sets aside before it has read anything. Nothing that unpacks within
/// the cap needs more.
const ZSTD_WINDOW_MAX_BYTES: u64 = 8 * 1024 * 1024;

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// How bytes are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Not at all.
    Raw,
    /// By gzip.
    Gzip,
    /// By Zstandard.
    Zstd,
}

impl Format {
    /// Tells the format by the first bytes; what is not packed counts as raw.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        if bytes.starts_with(GZIP_MAGIC) {
            Self::Gzip
        } else if bytes.starts_with(ZSTD_MAGIC) {
            Self::Zstd
        } else {
            Self::Raw
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

/// Unpacks raw, gzip or zstd bytes to at most [`COMPONENT_MAX_BYTES`].
///
/// # Errors
/// [`LoadError::TooBig`] as soon as more than that comes out, [`LoadError::Unpack`] where the packed form is broken or has
/// anything behind its end.
pub fn unpack(bytes: Vec<u8>) -> Result<Vec<u8>, LoadError> {
    let format = Format::of(&bytes);
    let broken = |error: io::Error| LoadError::Unpack { format, reason: error.to_string() };
    match format {
        Format::Raw if bytes.len() > COMPONENT_MAX_BYTES => Err(too_big()),
        Format::Raw => Ok(bytes),
        Format::Gzip => read_capped(&mut MultiGzDecoder::new(&bytes[..]), broken),
        Format::Zstd => {
            let mut rest = &bytes[..];
            let mut decoder =
                StreamingDecoder::new_with_max_window_size(&mut rest, ZSTD_WINDOW_MAX_BYTES)
                    .map_err(|error| broken(io::Error::other(error)))?;
            let unpacked = read_capped(&mut decoder, broken)?;
            drop(decoder);
            if !rest.is_empty() {
                return Err(broken(io::Error::other("bytes follow the first frame")));
            }
            Ok(unpacked)
        }
    }
}

fn read_capped(
    reader: &mut impl Read,
    broken: impl Fn(io::Error) -> LoadError,
) -> Result<Vec<u8>, LoadError> {
    let mut unpacked = Vec::new();
    // One byte above the cap tells a component of exactly the cap from a larger one.
    let cap = COMPONENT_MAX_BYTES as u64 + 1;
    reader.take(cap).read_to_end(&mut unpacked).map_err(broken)?;
    if unpacked.len() > COMPONENT_MAX_BYTES {
        return Err(too_big());
    }
    Ok(unpacked)
}

fn too_big() -> LoadError {
    LoadError::TooBig { limit: COMPONENT_MAX_BYTES }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).expect("write to memory");
        encoder.finish().expect("write to memory")
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        compress_to_vec(bytes, CompressionLevel::Fastest)
    }

    #[test]
    fn every_format_gives_the_same_bytes() {
        let plain = b"\0asm and so on".repeat(100);
        assert_eq!(unpack(plain.clone()), Ok(plain.clone()));
        assert_eq!(unpack(gzip(&plain)), Ok(plain.clone()));
        assert_eq!(unpack(zstd(&plain)), Ok(plain));
    }

    #[test]
    fn the_cap_is_exact() {
        let full = vec![0; COMPONENT_MAX_BYTES];
        let over = vec![0; COMPONENT_MAX_BYTES + 1];
        for pack in [|bytes: &[u8]| bytes.to_vec(), gzip, zstd] {
            assert_eq!(unpack(pack(&full)).map(|bytes| bytes.len()), Ok(COMPONENT_MAX_BYTES));
            assert_eq!(unpack(pack(&over)), Err(too_big()));
        }
    }

    #[test]
    fn broken_packing_is_told() {
        for packed in [gzip(&[7; 5000]), zstd(&[7; 5000])] {
            let format = Format::of(&packed);
            let cut = unpack(packed[..packed.len() - 6].to_vec());
            assert!(matches!(cut, Err(LoadError::Unpack { format: found, .. }) if found == format));
            let more = unpack([&packed[..], b"more"].concat());
            assert!(
                matches!(more, Err(LoadError::Unpack { format: found, .. }) if found == format)
            );
        }
    }
}
