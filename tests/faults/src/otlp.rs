//! Looks through OTLP requests (opentelemetry-proto 1.x, `ExportTraceServiceRequest`) where they lie.

/// A request is not OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// A field of a protobuf message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field<'a> {
    /// A varint or a fixed number.
    Number(u64),
    /// What has a length: a text, bytes or a message.
    Bytes(&'a [u8]),
}

/// The fields of a message, in order.
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// Of this message.
    pub fn new(message: &'a [u8]) -> Self {
        Fields(message)
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Malformed> {
        // Keys and most lengths.
        if let Some((&byte, rest)) = self.0.split_first()
            && byte < 0x80
        {
            self.0 = rest;
            return Ok(u64::from(byte));
        }
        let mut value = 0;
        for (index, &byte) in self.0.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.0 = &self.0[index + 1..];
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    #[inline]
    fn bytes(&mut self, length: u64) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(length).map_err(|_| Malformed)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    #[inline]
    fn field(&mut self) -> Result<(u64, Field<'a>), Malformed> {
        let key = self.varint()?;
        let field = match key & 7 {
            0 => Field::Number(self.varint()?),
            1 => Field::Number(self.bytes(8)?.try_into().map_or(0, u64::from_le_bytes)),
            2 => {
                let length = self.varint()?;
                Field::Bytes(self.bytes(length)?)
            }
            5 => {
                let bytes = self.bytes(4)?.try_into();
                Field::Number(bytes.map_or(0, |bytes| u64::from(u32::from_le_bytes(bytes))))
            }
            _ => return Err(Malformed),
        };
        Ok((key >> 3, field))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Field<'a>), Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

/// Calls `visit` with the messages in a repeated field.
#[inline]
fn each<'a>(
    message: &'a [u8],
    number: u64,
    mut visit: impl FnMut(&'a [u8]) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    for field in Fields::new(message) {
        match field? {
            (found, Field::Bytes(bytes)) if found == number => visit(bytes)?,
            _ => {}
        }
    }
    Ok(())
}

/// Calls `visit` with each span message of a request.
pub fn spans<'a>(request: &'a [u8], mut visit: impl FnMut(&'a [u8])) -> Result<(), Malformed> {
    each(request, 1, |resource| {
        each(resource, 2, |scope| {
            each(scope, 2, |span| {
                visit(span);
                Ok(())
            })
        })
    })
}

/// What the ledger wants to know of a span.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span<'a> {
    /// 16 bytes; empty when the span has none.
    pub trace_id: &'a [u8],
    /// 8 bytes; empty when the span has none.
    pub span_id: &'a [u8],
    /// 8 bytes; empty in a root.
    pub parent_id: &'a [u8],
    /// The name.
    pub name: &'a [u8],
    /// Nanoseconds since the Unix epoch.
    pub start: u64,
    /// Nanoseconds since the Unix epoch.
    pub end: u64,
}

impl<'a> Span<'a> {
    /// Reads a span message.
    #[inline]
    pub fn read(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut span = Span::default();
        for field in Fields::new(message) {
            match field? {
                (1, Field::Bytes(bytes)) => span.trace_id = bytes,
                (2, Field::Bytes(bytes)) => span.span_id = bytes,
                (4, Field::Bytes(bytes)) => span.parent_id = bytes,
                (5, Field::Bytes(bytes)) => span.name = bytes,
                (7, Field::Number(number)) => span.start = number,
                (8, Field::Number(number)) => span.end = number,
                _ => {}
            }
        }
        Ok(span)
    }
}

/// The attributes of a span message whose values are texts, in order.
pub fn texts(message: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let attributes = Fields::new(message).filter_map(|field| match field {
        Ok((9, Field::Bytes(pair))) => Some(pair),
        _ => None,
    });
    attributes.filter_map(|pair| {
        let (mut key, mut text) = (None, None);
        for field in Fields::new(pair) {
            match field {
                Ok((1, Field::Bytes(bytes))) => key = Some(bytes),
                Ok((2, Field::Bytes(value))) => {
                    text = Fields::new(value).find_map(|field| match field {
                        Ok((1, Field::Bytes(bytes))) => Some(bytes),
                        _ => None,
                    });
                }
                _ => {}
            }
        }
        Some((key?, text?))
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A length-delimited field.
    pub(crate) fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        let mut length = bytes.len();
        while length >= 0x80 {
            out.push(length as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
        out.extend_from_slice(bytes);
        out
    }

    pub(crate) fn span(trace: u8, id: u8, name: &str) -> Vec<u8> {
        let text = field(
            9,
            &[field(1, b"key"), field(2, &field(1, &[b'x'; 300]))].concat(),
        );
        let mut times = vec![7 << 3 | 1];
        times.extend(5u64.to_le_bytes());
        times.push(8 << 3 | 1);
        times.extend(9u64.to_le_bytes());
        [
            field(1, &[trace; 16]),
            field(2, &[id; 8]),
            field(5, name.as_bytes()),
            times,
            text,
        ]
        .concat()
    }

    pub(crate) fn request(spans: &[Vec<u8>]) -> Vec<u8> {
        let spans: Vec<u8> = spans.iter().flat_map(|span| field(2, span)).collect();
        field(1, &[field(1, b""), field(2, &spans)].concat())
    }

    #[test]
    fn spans_are_found() {
        let body = request(&[span(1, 2, "a"), span(3, 4, "b")]);
        let mut names = Vec::new();
        spans(&body, |message| {
            let span = Span::read(message).unwrap();
            assert_eq!((span.start, span.end), (5, 9));
            assert_eq!((span.trace_id.len(), span.span_id.len()), (16, 8));
            let texts: Vec<_> = texts(message).collect();
            assert_eq!(texts, [(b"key".as_slice(), [b'x'; 300].as_slice())]);
            names.push(span.name);
        })
        .unwrap();
        assert_eq!(names, [b"a", b"b"]);
    }

    #[test]
    fn what_is_cut_is_malformed() {
        let body = request(&[span(1, 2, "a")]);
        for length in 1..body.len() {
            assert_eq!(spans(&body[..length], |_| ()), Err(Malformed), "{length}");
        }
    }
}
