//! Declaring settings: once each, with default, range, variable and meaning.

/// A setting as the reference page and error messages know it.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its key in the file, such as `http.listen`.
    pub key: &'static str,
    /// Its environment variable.
    pub variable: &'static str,
    /// Its default as written in a file.
    pub default: String,
    /// Its range, if it has one.
    pub range: Option<String>,
    /// What it means.
    pub help: &'static str,
    /// True if its value is a text even where it looks like a number.
    pub text: bool,
}

/// A value outside its range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutOfRange {
    /// The setting's key.
    pub key: &'static str,
    /// The value.
    pub value: String,
    /// The range.
    pub range: String,
}

/// Declares the settings of one concern: a struct with defaults, its ranges, and its rows.
macro_rules! settings {
    ($(#[$doc:meta])* $name:ident, $section:literal {
        $($(#[doc = $help:literal])+ $field:ident: $type:ty = $default:expr, $(range $range:expr,)? env $variable:literal;)+
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $($(#[doc = $help])+ pub $field: $type,)+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default),+ }
            }
        }

        impl $name {
            /// Every setting of this concern.
            pub fn rows() -> Vec<$crate::config::settings::Row> {
                use $crate::config::value::Value;
                let defaults = Self::default();
                vec![$($crate::config::settings::Row {
                    key: concat!($section, stringify!($field)),
                    variable: $variable,
                    default: defaults.$field.show(),
                    range: { let range: Option<String> = None; $(let _ = range; let range = Some($crate::config::settings::show_range::<$type>(&$range));)? range },
                    help: concat!($($help),+).trim_ascii(),
                    text: <$type>::TEXT,
                }),+]
            }

            /// Every setting of this concern and its value, as it is written in a file.
            pub fn shown(&self) -> Vec<(&'static str, String)> {
                use $crate::config::value::Value;
                vec![$((concat!($section, stringify!($field)), self.$field.show())),+]
            }

            /// Fails at the first value outside its range.
            #[allow(unused_mut, clippy::unnecessary_wraps, reason = "a concern may have no ranges")]
            pub fn check(&self) -> Result<(), $crate::config::settings::OutOfRange> {
                $($(
                    if !($range).contains(&self.$field) {
                        use $crate::config::value::Value;
                        return Err($crate::config::settings::OutOfRange {
                            key: concat!($section, stringify!($field)),
                            value: self.$field.show(),
                            range: $crate::config::settings::show_range::<$type>(&$range),
                        });
                    }
                )?)+
                Ok(())
            }
        }
    };
}
pub(crate) use settings;

/// A range as a sentence has it.
pub(crate) fn show_range<T: super::value::Value>(range: &std::ops::RangeInclusive<T>) -> String {
    format!("{} to {}", range.start().show(), range.end().show())
}
