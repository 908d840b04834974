//! Enumerations whose values are words: one table a type, which the manifest's decoding, its schema,
//! the log and the plan as text and as JSON all read.

/// A type whose values are words.
pub trait Words: Copy + 'static {
    /// The words, for a message: `auto, private or shared`.
    const WANTED: &'static str;
    /// Each word, and what it is.
    const TABLE: &'static [(&'static str, Self)];
}

/// Declares such a type: `word` gives the word of a value, `Display` and `Serialize` write it,
/// `Deserialize` reads it.
macro_rules! words {
    (
        $(#[$about:meta])*
        $name:ident { $($(#[$doc:meta])* $value:ident = $word:literal,)+ }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$doc])* $value,)+ }

        impl $name {
            /// As the manifest writes it.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$value => $word,)+ }
            }
        }

        impl $crate::model::words::Words for $name {
            const WANTED: &'static str = $crate::model::words::words!(@wanted [] $($word)+);
            const TABLE: &'static [(&'static str, Self)] = &[$(($word, Self::$value)),+];
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.word())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let word = <std::borrow::Cow<'_, str> as serde::Deserialize>::deserialize(from)?;
                let table = <Self as $crate::model::words::Words>::TABLE;
                let found = table.iter().find(|(known, _)| *known == word);
                found.map(|(_, value)| *value).ok_or_else(|| {
                    let wanted = <Self as $crate::model::words::Words>::WANTED;
                    serde::de::Error::custom(format_args!("expected {wanted}"))
                })
            }
        }
    };
    (@wanted [$($all:tt)*] $one:literal $last:literal) => {
        concat!($($all)* $one, " or ", $last)
    };
    (@wanted [$($all:tt)*] $one:literal $($more:literal)+) => {
        $crate::model::words::words!(@wanted [$($all)* $one, ", ",] $($more)+)
    };
}

pub(crate) use words;
