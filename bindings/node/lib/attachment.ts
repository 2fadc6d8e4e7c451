import { types } from 'node:util';

/**
 * Binary content inside inputs and outputs, which is stored beside the spans of the trace; they hold a reference that
 * MLflow's user interface resolves. Elsewhere in a span it is named, and its content left out.
 */
export class Attachment {
  /** The bytes. */
  readonly content: Uint8Array;

  /**
   * @param contentType a MIME type such as `image/png`.
   * @param content is copied whenever the attachment is recorded.
   * @throws TypeError when they are no text and no bytes.
   */
  constructor(
    /** A MIME type such as `image/png`. */
    readonly contentType: string,
    content: Uint8Array | ArrayBuffer,
  ) {
    if (typeof contentType !== 'string' || contentType === '') {
      throw new TypeError('the content type of an attachment is a text');
    }
    if (types.isUint8Array(content)) this.content = content;
    else if (types.isAnyArrayBuffer(content)) this.content = new Uint8Array(content);
    else throw new TypeError('the content of an attachment is a Uint8Array or an ArrayBuffer');
  }

  /** What stands for it where it cannot be stored. */
  toJSON(): string {
    return `<Attachment ${this.contentType.toWellFormed()}, ${this.content.byteLength} bytes>`;
  }
}

/** Keeps attachments beside a span, and gives what stands for them in it. */
export interface Attacher {
  attach(attachment: Attachment): string;
}

/** The reference, letter by letter as the engine and MLflow (3.17.2) write it: they look for it in the span. */
export function attachmentUri(id: string, contentType: string, traceId: string, size: number): string {
  return `mlflow-attachment://${id}?content_type=${formEncode(contentType)}&trace_id=${traceId}&size=${size}`;
}

/** As HTML forms encode a value (`application/x-www-form-urlencoded`). */
function formEncode(text: string): string {
  return encodeURIComponent(text)
    .replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%20', '+');
}
