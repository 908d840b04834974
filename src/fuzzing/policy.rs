//! Policies and entities of any text.

use crate::policy::Policies;

/// The first line is entities.json if it begins with `[`; the rest is policies. What is refused has a place
/// in its text; what is accepted survives the cache.
pub fn policy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (entities, policies) = match text.split_once('\n') {
        Some((first, rest)) if first.starts_with('[') => (Some(first), rest),
        _ => (None, text),
    };
    let files = [("a.cedar".to_owned(), policies.to_owned())];
    match Policies::parse(&files, entities) {
        Ok(parsed) => {
            let kept = Policies::from_cache(parsed.to_cache().to_vec()).expect("it was written so");
            assert_eq!(kept.len(), parsed.len());
        }
        Err(errors) => {
            assert!(!errors.0.is_empty());
            for error in errors.0 {
                let text = if error.file == "a.cedar" {
                    Some(policies)
                } else {
                    entities
                };
                let lines = text.unwrap_or_default().split('\n').count();
                assert!((1..=lines).contains(&error.at.line), "{error}");
                assert!(!error.message.chars().any(crate::model::printable::acts));
            }
        }
    }
}
