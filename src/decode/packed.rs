//! Compressed values: unpacked up to a bound, so that a few bytes cannot fill the memory.

use crate::decode::decoding::Compression;
use crate::model::quarantine::FaultReason;
use flate2::bufread::MultiGzDecoder;
use std::borrow::Cow;
use std::io::{self, Read};

const GZIP: &[u8] = b"\x1f\x8b";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
/// A frame may ask for a window of 8 MiB: what RFC 8878 section 3.1.1.1.2 says that every decoder should bear.
const WINDOW_LOG: u32 = 23;

/// The value as it was before it was packed, of at most `most` bytes.
///
/// # Errors
/// It is not packed so, or larger; in words.
pub(crate) fn unpack(
    compression: Compression,
    value: &[u8],
    most: u64,
) -> Result<Cow<'_, [u8]>, (FaultReason, String)> {
    match compression {
        Compression::None => Ok(Cow::Borrowed(value)),
        Compression::Gzip => read(MultiGzDecoder::new(value), ("gzip", most)),
        Compression::Zstd => {
            zstd(value).map_or_else(|error| Err(broken("zstd", &error)), |from| read(from, ("zstd", most)))
        }
        Compression::Auto if value.starts_with(GZIP) => unpack(Compression::Gzip, value, most),
        Compression::Auto if value.starts_with(ZSTD) => unpack(Compression::Zstd, value, most),
        Compression::Auto => Ok(Cow::Borrowed(value)),
    }
}

fn zstd(value: &[u8]) -> io::Result<impl Read> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(value)?;
    decoder.window_log_max(WINDOW_LOG)?;
    Ok(decoder)
}

fn read<'v>(from: impl Read, (name, most): (&str, u64)) -> Result<Cow<'v, [u8]>, (FaultReason, String)> {
    let mut bytes = Vec::new();
    from.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| broken(name, &error))?;
    if bytes.len() as u64 > most {
        let what = format!("the value has more than limits.event_bytes ({most}) when it is unpacked");
        return Err((FaultReason::Limit, what));
    }
    Ok(Cow::Owned(bytes))
}

fn broken(name: &str, error: &io::Error) -> (FaultReason, String) {
    (FaultReason::Decode, format!("the value is not {name}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression as Level;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Level::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::stream::encode_all(bytes, 1).unwrap()
    }

    #[test]
    fn what_was_packed_comes_out_as_it_was() {
        let plain = br#"{"id":"o-1"}"#;
        for (compression, packed) in [
            (Compression::None, plain.to_vec()),
            (Compression::Gzip, gzip(plain)),
            (Compression::Zstd, zstd(plain)),
            (Compression::Auto, plain.to_vec()),
            (Compression::Auto, gzip(plain)),
            (Compression::Auto, zstd(plain)),
        ] {
            assert_eq!(&*unpack(compression, &packed, 100).unwrap(), plain, "{compression:?}");
        }
        let twice = [gzip(b"ab"), gzip(b"cd")].concat();
        assert_eq!(&*unpack(Compression::Gzip, &twice, 100).unwrap(), b"abcd");
        let twice = [zstd(b"ab"), zstd(b"cd")].concat();
        assert_eq!(&*unpack(Compression::Zstd, &twice, 100).unwrap(), b"abcd");
    }

    #[test]
    fn a_bomb_is_a_fault_and_no_more_than_the_bound_is_unpacked() {
        let zeros = vec![0; 8 << 20];
        for (compression, packed) in [(Compression::Gzip, gzip(&zeros)), (Compression::Zstd, zstd(&zeros))] {
            assert!(packed.len() < 100_000);
            let (reason, what) = unpack(compression, &packed, 1 << 20).unwrap_err();
            assert_eq!(reason, FaultReason::Limit);
            assert!(what.contains("1048576"), "{what}");
            assert!(unpack(compression, &packed, 8 << 20).is_ok(), "the bound itself is allowed");
        }
    }

    #[test]
    fn a_frame_that_asks_for_a_larger_window_than_every_decoder_bears_is_a_fault() {
        // Magic, no content size, window descriptor 2^27, an empty last block.
        let frame = [ZSTD, &[0x00, 17 << 3, 0x01, 0x00, 0x00]].concat();
        assert_eq!(unpack(Compression::Zstd, &frame, 100).unwrap_err().0, FaultReason::Decode);
    }

    #[test]
    fn what_is_not_packed_or_cut_off_is_a_fault() {
        for (compression, packed) in [(Compression::Gzip, gzip(b"hello")), (Compression::Zstd, zstd(b"hello"))] {
            assert_eq!(unpack(compression, b"{}", 100).unwrap_err().0, FaultReason::Decode);
            let cut = &packed[..packed.len() - 3];
            assert_eq!(unpack(compression, cut, 100).unwrap_err().0, FaultReason::Decode);
            let more = [&packed[..], b"tail"].concat();
            assert_eq!(unpack(compression, &more, 100).unwrap_err().0, FaultReason::Decode);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_unpacking_panic_or_pass_the_bound(
            bytes in proptest::collection::vec(any::<u8>(), 0..200), flipped in any::<proptest::sample::Index>(), bit in 0..8_u8,
        ) {
            let mut packed = [gzip(&bytes), zstd(&bytes)];
            for packed in &mut packed {
                let at = flipped.index(packed.len());
                packed[at] ^= 1_u8 << bit;
                if let Ok(plain) = unpack(Compression::Auto, packed, 300) {
                    prop_assert!(plain.len() <= 300);
                }
            }
            for compression in [Compression::Gzip, Compression::Zstd, Compression::Auto] {
                drop(unpack(compression, &bytes, 300));
            }
        }
    }
}
