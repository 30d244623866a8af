//! From what stands in a page to the file that is meant.

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// Where a link leads.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    /// To another place than this folder: another site, a mail address, a script.
    External,
    /// Out of the folder, upwards.
    Outside,
    /// To a file of this folder, named from its root, and to a place on it.
    Inside {
        path: String,
        fragment: Option<&'a [u8]>,
    },
}

/// Follows `href` from the page at `from`, or from where its `<base>` says; paths are relative to the folder.
pub(crate) fn resolve<'a>(from: &str, base: Option<&[u8]>, href: &'a [u8]) -> Target<'a> {
    let href = href.trim_ascii();
    let (address, fragment) = match href.iter().position(|byte| *byte == b'#') {
        Some(hash) => (&href[..hash], Some(&href[hash + 1..])),
        None => (href, None),
    };
    let start = match base.map(|base| resolve(from, None, base)) {
        None => Cow::Borrowed(from),
        Some(Target::Inside { path, .. }) => Cow::Owned(path),
        Some(Target::External | Target::Outside) if !has_scheme(address) => {
            return Target::External;
        }
        Some(_) => Cow::Borrowed(from),
    };
    if has_scheme(address) {
        return Target::External;
    }
    let address = address
        .split(|byte| *byte == b'?')
        .next()
        .unwrap_or_default();
    if address.is_empty() {
        return Target::Inside {
            path: start.into_owned(),
            fragment,
        };
    }
    match join(&start, address) {
        Some(path) => Target::Inside { path, fragment },
        None => Target::Outside,
    }
}

/// Whether an address names its own protocol or host.
fn has_scheme(address: &[u8]) -> bool {
    if address.starts_with(b"//") {
        return true;
    }
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let end = address.iter().position(|byte| !is_part(byte));
    address.first().is_some_and(u8::is_ascii_alphabetic)
        && end.is_some_and(|end| address[end] == b':')
}

/// The path of a relative or absolute address; `None` if it leads out of the folder. A folder is its `index.html`.
fn join(from: &str, address: &[u8]) -> Option<String> {
    let (start, address) = match address.strip_prefix(b"/") {
        Some(absolute) => ("", absolute),
        None => (
            from.rsplit_once('/').map_or("", |(folder, _)| folder),
            address,
        ),
    };
    let mut path = String::with_capacity(start.len() + address.len() + 12);
    path.push_str(start);
    let mut is_folder = false;
    for segment in address.split(|byte| *byte == b'/') {
        is_folder = matches!(segment, b"" | b"." | b"..");
        match segment {
            b"" | b"." => {}
            b".." if path.is_empty() => return None,
            b".." => path.truncate(path.rfind('/').unwrap_or(0)),
            segment => {
                if !path.is_empty() {
                    path.push('/');
                }
                path.push_str(&decode(segment));
            }
        }
    }
    if is_folder {
        path.push_str(if path.is_empty() {
            "index.html"
        } else {
            "/index.html"
        });
    }
    Some(path)
}

/// Takes percent-encoding away. File names that are no UTF-8 cannot be linked to.
fn decode(segment: &[u8]) -> Cow<'_, str> {
    percent_decode(segment).decode_utf8_lossy()
}

/// A fragment without percent-encoding.
pub(crate) fn decode_fragment(fragment: &[u8]) -> Cow<'_, [u8]> {
    percent_decode(fragment).into()
}

/// Whether a fragment means the page itself.
pub(crate) fn is_top(fragment: &[u8]) -> bool {
    fragment.is_empty() || fragment.eq_ignore_ascii_case(b"top")
}
