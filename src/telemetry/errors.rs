//! Errors, as people are told of them.

use std::error::Error;

/// The innermost cause of an error, such as "Connection refused": what is around it only repeats the address, which may
/// hold a secret.
pub fn innermost(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(deeper) = innermost.source() {
        innermost = deeper;
    }
    innermost.to_string()
}
