//! Many machines, by way of NATS; with real servers.

#[path = "../support/nats.rs"]
mod nats;
#[path = "../support/mod.rs"]
mod support;

mod servers;

use libtest_mimic::{Arguments, Failed, Trial};

/// Lists functions as tests, under their own names.
macro_rules! tests {
    ($($module:ident: $($name:ident)*;)*) => {
        vec![$($(
            Trial::test(concat!(stringify!($module), "::", stringify!($name)), || {
                $module::$name();
                Ok::<(), Failed>(())
            }),
        )*)*]
    };
}

fn main() {
    support::limit_time();
    let tests = tests! {
        servers:
            what_a_server_has_stored_outlives_a_stop_and_a_kill
            a_server_that_stands_still_answers_when_it_goes_on
            a_server_has_the_limits_that_it_was_given
            replicas_agree_when_their_leader_was_killed_and_is_back
            tls_is_demanded_and_so_is_a_certificate_where_that_is_asked_for
            a_user_may_do_what_is_allowed_and_no_more
            credentials_by_another_operator_let_nobody_in
            a_line_that_is_cut_is_silent_until_it_is_healed
            a_server_whose_answers_are_lost_does_what_it_is_asked;
    };
    libtest_mimic::run(&Arguments::from_args(), tests).exit();
}
