//! Where two copies of the same chunk begin to differ.

use super::Offset;

/// Where in the chunk the first byte is that is not the same in both, counted from the chunk's start. Where one ends
/// first, that is its end. `None` if they are equal.
pub fn first_difference(one: &[u8], other: &[u8]) -> Option<Offset> {
    let same = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    (same < one.len().max(other.len())).then_some(Offset(same as u64))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_byte_that_differs_counts() {
        assert_eq!(first_difference(b"log line", b"log mine"), Some(Offset(4)));
        assert_eq!(first_difference(b"log", b"log line"), Some(Offset(3)));
        assert_eq!(first_difference(b"", b"log"), Some(Offset(0)));
        assert_eq!(first_difference(b"log", b"log"), None);
        assert_eq!(first_difference(b"", b""), None);
    }

    proptest! {
        #[test]
        fn what_is_before_it_is_equal_and_what_is_at_it_is_not(
            same in prop::collection::vec(any::<u8>(), 0..300),
            one in prop::collection::vec(any::<u8>(), 0..8),
            other in prop::collection::vec(any::<u8>(), 0..8),
        ) {
            let (one, other) = ([same.clone(), one].concat(), [same.clone(), other].concat());
            let found = first_difference(&one, &other);
            prop_assert_eq!(found, first_difference(&other, &one));
            match found.map(|at| usize::try_from(at.0).expect("within memory")) {
                None => prop_assert_eq!(one, other),
                Some(at) => {
                    prop_assert!(at >= same.len());
                    prop_assert_eq!(&one[..at], &other[..at]);
                    prop_assert_ne!(one.get(at), other.get(at));
                }
            }
        }
    }
}
