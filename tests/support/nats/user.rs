/// Who may connect with which password, and what he may publish to and subscribe to.
#[derive(Clone, Copy)]
pub struct User<'a> {
    pub name: &'a str,
    pub password: &'a str,
    pub publish: &'a [&'a str],
    pub subscribe: &'a [&'a str],
}

impl User<'_> {
    pub(super) fn line(&self) -> String {
        let Self {
            name,
            password,
            publish,
            subscribe,
        } = self;
        format!(
            "{{ user: {name:?}, password: {password:?}, permissions: {{ publish: {{ allow: {publish:?} }}, \
             subscribe: {{ allow: {subscribe:?} }} }} }}"
        )
    }
}
