//! stub
#[derive(Clone, Debug)]
pub struct Attachment;
