//! What an HTML page links to, and what can be linked to on it.
//!
//! The page is tokenized by `html5gum` as browsers do it, so comments, scripts and styles hide nothing and add
//! nothing; text is not looked at. Bytes that are no UTF-8 are taken as they are.

use html5gum::{Emitter, Error, State, Tokenizer, naive_next_state};

/// What is found on a page, in the order of the page.
pub(crate) trait Findings {
    /// Something that the page needs or points to, as it stands there.
    fn link(&mut self, href: &[u8]);
    /// The value of an `id`, or of the `name` of an `<a>`.
    fn anchor(&mut self, name: &[u8]);
    /// What relative links start from.
    fn base(&mut self, href: &[u8]);
    /// Where the page sends whoever comes to it.
    fn redirect(&mut self, href: &[u8]);
}

/// Goes through a page.
pub(crate) fn scan(html: &[u8], buffers: &mut Buffers, findings: &mut impl Findings) {
    let emitter = LinkEmitter {
        buffers,
        findings,
        attribute: Attribute::Other,
        is_end_tag: false,
    };
    for never in Tokenizer::new_with_emitter(html, emitter) {
        // The emitter gives no tokens, and memory has no reading errors.
        let Ok(()) = never;
    }
}

/// Memory that is used again for every page.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    tag: Vec<u8>,
    /// The last start tag, whose end tag ends raw text.
    last_start_tag: Vec<u8>,
    name: Vec<u8>,
    value: Vec<u8>,
    /// The `content` of a `<meta>`, until it is known to be a refresh.
    content: Vec<u8>,
    is_refresh: bool,
}

/// What the value of the present attribute is for.
#[derive(Clone, Copy, PartialEq)]
enum Attribute {
    Other,
    Link,
    LinkList,
    Anchor,
    Base,
    HttpEquiv,
    Content,
}

impl Attribute {
    fn of(tag: &[u8], name: &[u8]) -> Self {
        match (name, tag) {
            (b"id", _) | (b"name", b"a") => Self::Anchor,
            (b"href", b"a" | b"area" | b"link") => Self::Link,
            (b"href", b"base") => Self::Base,
            (
                b"src",
                b"img" | b"script" | b"iframe" | b"audio" | b"video" | b"source" | b"embed"
                | b"track",
            ) => Self::Link,
            (b"srcset", b"img" | b"source") => Self::LinkList,
            (b"data", b"object") | (b"poster", b"video") => Self::Link,
            (b"http-equiv", b"meta") => Self::HttpEquiv,
            (b"content", b"meta") => Self::Content,
            _ => Self::Other,
        }
    }
}

struct LinkEmitter<'a, F> {
    buffers: &'a mut Buffers,
    findings: &'a mut F,
    attribute: Attribute,
    is_end_tag: bool,
}

impl<F: Findings> LinkEmitter<'_, F> {
    /// An attribute has come to its end.
    fn finish_attribute(&mut self) {
        let Buffers {
            value,
            content,
            is_refresh,
            ..
        } = self.buffers;
        match self.attribute {
            Attribute::Other => {}
            Attribute::Link => self.findings.link(value),
            Attribute::LinkList => {
                let candidates = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
                for candidate in candidates.filter(|candidate| !candidate.is_empty()) {
                    let end = candidate.iter().position(u8::is_ascii_whitespace);
                    self.findings
                        .link(&candidate[..end.unwrap_or(candidate.len())]);
                }
            }
            Attribute::Anchor => self.findings.anchor(value),
            Attribute::Base => self.findings.base(value),
            Attribute::HttpEquiv => *is_refresh = value.eq_ignore_ascii_case(b"refresh"),
            Attribute::Content => content.clone_from(value),
        }
        self.attribute = Attribute::Other;
    }

    fn finish_meta(&mut self) {
        if self.buffers.is_refresh
            && let Some(url) = refresh_url(&self.buffers.content)
        {
            self.findings.link(url);
            self.findings.redirect(url);
        }
        self.buffers.is_refresh = false;
        self.buffers.content.clear();
    }
}

/// The address in `5; url='page.html'`.
fn refresh_url(content: &[u8]) -> Option<&[u8]> {
    let separator = content
        .iter()
        .position(|byte| matches!(byte, b';' | b','))?;
    let rest = content[separator + 1..].trim_ascii();
    let is_named = rest
        .get(..3)
        .is_some_and(|name| name.eq_ignore_ascii_case(b"url"));
    let url = match is_named.then(|| rest[3..].trim_ascii_start()) {
        Some([b'=', url @ ..]) => url.trim_ascii(),
        _ => rest,
    };
    let quote = url
        .first()
        .copied()
        .filter(|first| matches!(first, b'"' | b'\''));
    let url = match quote {
        Some(quote) => url[1..]
            .split(|byte| *byte == quote)
            .next()
            .unwrap_or_default(),
        None => url,
    };
    (!url.is_empty()).then_some(url)
}

impl<F: Findings> Emitter for LinkEmitter<'_, F> {
    type Token = ();

    fn set_last_start_tag(&mut self, tag: Option<&[u8]>) {
        self.buffers.last_start_tag.clear();
        self.buffers
            .last_start_tag
            .extend_from_slice(tag.unwrap_or_default());
    }

    fn pop_token(&mut self) -> Option<()> {
        None
    }

    fn init_start_tag(&mut self) {
        self.buffers.tag.clear();
        self.is_end_tag = false;
    }

    fn init_end_tag(&mut self) {
        self.buffers.tag.clear();
        self.is_end_tag = true;
    }

    fn push_tag_name(&mut self, name: &[u8]) {
        self.buffers.tag.extend_from_slice(name);
    }

    fn init_attribute(&mut self) {
        self.finish_attribute();
        self.buffers.name.clear();
    }

    fn push_attribute_name(&mut self, name: &[u8]) {
        self.buffers.name.extend_from_slice(name);
    }

    fn init_attribute_value(&mut self) {
        self.buffers.value.clear();
        if !self.is_end_tag {
            self.attribute = Attribute::of(&self.buffers.tag, &self.buffers.name);
        }
    }

    fn push_attribute_value(&mut self, value: &[u8]) {
        if self.attribute != Attribute::Other {
            self.buffers.value.extend_from_slice(value);
        }
    }

    fn emit_current_tag(&mut self) -> Option<State> {
        self.finish_attribute();
        let buffers = &mut *self.buffers;
        buffers.last_start_tag.clear();
        if self.is_end_tag {
            return None;
        }
        buffers.last_start_tag.extend_from_slice(&buffers.tag);
        let next = naive_next_state(&buffers.tag);
        if self.buffers.tag == b"meta" {
            self.finish_meta();
        }
        next
    }

    fn current_is_appropriate_end_tag_token(&mut self) -> bool {
        let Buffers {
            tag,
            last_start_tag,
            ..
        } = &*self.buffers;
        self.is_end_tag && !tag.is_empty() && tag == last_start_tag
    }

    fn should_emit_errors(&mut self) -> bool {
        false
    }

    fn set_self_closing(&mut self) {}
    fn emit_eof(&mut self) {}
    fn emit_error(&mut self, _: Error) {}
    fn emit_string(&mut self, _: &[u8]) {}
    fn emit_current_comment(&mut self) {}
    fn emit_current_doctype(&mut self) {}
    fn init_comment(&mut self) {}
    fn push_comment(&mut self, _: &[u8]) {}
    fn init_doctype(&mut self) {}
    fn push_doctype_name(&mut self, _: &[u8]) {}
    fn set_force_quirks(&mut self) {}
    fn set_doctype_public_identifier(&mut self, _: &[u8]) {}
    fn set_doctype_system_identifier(&mut self, _: &[u8]) {}
    fn push_doctype_public_identifier(&mut self, _: &[u8]) {}
    fn push_doctype_system_identifier(&mut self, _: &[u8]) {}
}
