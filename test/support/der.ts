/** ASN.1 in DER, as much of it as a certificate needs: https://www.itu.int/rec/T-REC-X.690 */
export const der = {
  sequence: (...parts: Buffer[]): Buffer => tagged(0x30, ...parts),
  set: (...parts: Buffer[]): Buffer => tagged(0x31, ...parts),
  true: (): Buffer => tagged(0x01, Buffer.of(0xff)),
  /** A number that is not negative, by its bytes; the first one is less than 128. */
  integer: (...bytes: number[]): Buffer => tagged(0x02, Buffer.from(bytes)),
  bitString: (bits: Buffer, { unused = 0 } = {}): Buffer => tagged(0x03, Buffer.of(unused), bits),
  octetString: (content: Buffer): Buffer => tagged(0x04, content),
  /** `1.2.840…` */
  oid,
  text: (value: string): Buffer => tagged(0x0c, Buffer.from(value)),
  /** In whole seconds, of a year before 2050. */
  time: (atMs: number): Buffer =>
    tagged(0x17, Buffer.from(`${new Date(atMs).toISOString().slice(2, 19).replaceAll(/\D/g, '')}Z`)),
  /** `[number]` around what has a tag of its own. */
  explicit: (number: number, ...parts: Buffer[]): Buffer => tagged(0xa0 | number, ...parts),
  /** `[number]` instead of the tag of bytes. */
  implicit: (number: number, content: Buffer): Buffer => tagged(0x80 | number, content),
};

function tagged(tag: number, ...parts: Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...size), content]);
}

function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  return tagged(0x06, Buffer.from([40 * first + second, ...rest].flatMap(inBase128)));
}

function inBase128(value: number): number[] {
  const bytes = [value & 0x7f];
  for (let left = value >> 7; left > 0; left >>= 7) bytes.unshift(0x80 | (left & 0x7f));
  return bytes;
}
