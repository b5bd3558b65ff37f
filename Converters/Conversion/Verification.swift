/// Checks a packed file against the digests in it.
public enum Verification {
    /// A part of the file whose bytes are not those that were written.
    public struct Damage: Equatable, Sendable, CustomStringConvertible {
        /// "header", the name of a tensor, or "padding after" and the name of a tensor.
        public let part: String
        public let reason: String

        public var description: String { "\(part): \(reason)" }
    }

    /// Every damaged part of the file; empty when it is whole. Fails when the header cannot be read at all. `progress` counts bytes
    /// and stops the work by returning false.
    public static func run(
        path: String, progress: (ConversionProgress) -> Bool = { _ in true }
    ) throws(ConversionError) -> [Damage] {
        let file = try MappedFile(path: path)
        let (header, dataOffset) = try GGUF.Header.read(file)
        guard case .string(let headerHash)? = header[FileSchema.Key.headerHash],
            case .strings(let hashes)? = header[FileSchema.Key.tensorHashes], hashes.count == header.tensors.count
        else { throw .invalid(file: path, reason: "header: it has no digests (\(FileSchema.Key.headerHash))") }

        var blank = header
        blank[FileSchema.Key.headerHash] = .string(FileSchema.noHash)
        let found = try SHA256.hexDigest(blank.serialized())
        // What this header does not say when it is written out again (padding, an unusual spelling) is compared as well.
        var actual = header
        actual[FileSchema.Key.headerHash] = .string(headerHash)
        guard found == headerHash, actual.serialized().elementsEqual(file.bytes[..<dataOffset]) else {
            return [Damage(part: "header", reason: mismatch(found, headerHash))]
        }

        var damage: [Damage] = []
        for (index, tensor) in header.tensors.enumerated() {
            let start = dataOffset + tensor.offset, end = start + tensor.bytes
            var hash = try SHA256()
            for first in stride(from: start, to: end, by: 1 << 22) {
                let chunk = UnsafeRawBufferPointer(rebasing: file.bytes[first..<min(first + 1 << 22, end)])
                try hash.update(chunk)
                file.release()
                guard progress(ConversionProgress(tensor: tensor.name, done: first + chunk.count, total: file.bytes.count)) else { throw .cancelled }
            }
            let found = try hash.finish()
            if found != hashes[index] { damage.append(Damage(part: tensor.name, reason: mismatch(found, hashes[index]))) }
            if let stray = file.bytes[end..<dataOffset + GGUF.aligned(tensor.offset + tensor.bytes)].firstIndex(where: { $0 != 0 }) {
                damage.append(Damage(part: "padding after \(tensor.name)", reason: "byte \(stray) of the file is not 0"))
            }
        }
        return damage
    }

    private static func mismatch(_ found: String, _ expected: String) -> String {
        "damaged: its SHA-256 is \(found), expected \(expected)"
    }
}
