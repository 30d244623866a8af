/// Lists functions as tests of `libtest_mimic`, under their own names.
macro_rules! tests {
    ($($module:ident: $($name:ident)*;)*) => {
        vec![$($(
            libtest_mimic::Trial::test(concat!(stringify!($module), "::", stringify!($name)), || {
                $module::$name();
                Ok::<(), libtest_mimic::Failed>(())
            }),
        )*)*]
    };
}
