/// A key, password or token. It has neither `Debug` nor `Display`, so that what holds one cannot be printed by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes `text` in.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, to be sent to the service that it is for and nowhere else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}
