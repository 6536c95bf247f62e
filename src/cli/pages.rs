//! Lists that are answered in pages.

use crate::domain::failure::Failure;

/// Reads a list to its end: `page` reads one page and gives the token of the next.
pub(crate) async fn all(
    page: impl AsyncFnMut(Option<String>) -> Result<Option<String>, Failure>,
) -> Result<(), Failure> {
    at_most(usize::MAX, page).await.map(drop)
}

/// The same of so many pages at most; whether the list was read to its end.
pub(crate) async fn at_most(
    most: usize,
    mut page: impl AsyncFnMut(Option<String>) -> Result<Option<String>, Failure>,
) -> Result<bool, Failure> {
    let mut token = None;
    for _ in 0..most {
        token = page(token).await?.filter(|token| !token.is_empty());
        if token.is_none() {
            return Ok(true);
        }
    }
    Ok(false)
}
