//! The value of a dead letter: `description length u32, description, payload`.

/// The description with its length in front, and what follows it.
pub(super) fn split(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = u32::from_le_bytes(*value.first_chunk::<4>()?);
    value.split_at_checked(usize::try_from(length).ok()?.checked_add(4)?)
}

/// The number that is the key of a dead letter: a u64 in little-endian order.
pub(super) fn number(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_split_behind_its_description() {
        assert_eq!(split(b"\x02\0\0\0whypayload"), Some((&b"\x02\0\0\0wh"[..], &b"ypayload"[..])));
        assert_eq!(split(b"\0\0\0\0"), Some((&b"\0\0\0\0"[..], &b""[..])));
        for bad in [&b""[..], b"\x01\0\0", b"\x05\0\0\0four", b"\xff\xff\xff\xffx"] {
            assert_eq!(split(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_number_has_eight_bytes() {
        assert_eq!(number(&7u64.to_le_bytes()), Some(7));
        assert_eq!(number(b"seven"), None);
    }
}
