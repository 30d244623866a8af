//! Whether figures are kept, of ages, of times, and of what workers hold.
//!
//! They always are, but in `benches/figures`, which says what that costs: it builds the crate once more with
//! `--cfg without_figures`. What a status says means nothing then.

pub(crate) const ARE_KEPT: bool = !cfg!(without_figures);
