//! What is listed of the bytes of chunks, out of its row.

use super::{Cells, number, text, time};
use crate::store::Result;
use crate::store::object::Listed;
use crate::trace::ByteSize;

/// A key out of `key`, `size` and `written_at`.
pub(in crate::store::database) fn read_listed(row: &impl Cells) -> Result<Listed> {
    Ok(Listed {
        key: text(row, "key")?,
        size: ByteSize(number(row, "size")?),
        modified: Some(time(row, "written_at")?),
    })
}
