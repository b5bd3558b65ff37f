import Rudolph

/// Checks a packed file against the digests in it.
public enum Verification {
    /// A part of the file whose bytes are not those that were written.
    public struct Damage: Equatable, Sendable, CustomStringConvertible {
        /// "header", the name of a tensor, or "padding after" and the name of a tensor.
        public let part: String
        public let reason: String

        public var description: String { printable("\(part): \(reason)") }
    }

    /// Every damaged part of the file; empty when it is whole. Fails when the header cannot be read at all. `progress` counts bytes
    /// and stops the work by returning false.
    public static func run(
        path: String, progress: (ConversionProgress) -> Bool = { _ in true }
    ) throws(ConversionError) -> [Damage] {
        let file = try GGUF(input: path)
        let bytes = file.file.bytes
        // Tensors lie one behind the other up to the end, so that every byte is in a digest or a zero.
        var end = file.dataOffset
        for tensor in file.tensors {
            guard tensor.range.lowerBound == end else {
                throw .invalid(file: path, reason: "header: \(tensor.name) lies at byte \(tensor.range.lowerBound), expected \(end)")
            }
            end = GGUF.aligned(tensor.range.upperBound)
        }
        guard end == bytes.count else { throw .invalid(file: path, reason: "the file has \(bytes.count) bytes, expected \(end)") }

        guard case .strings(let hashes)? = file[FileSchema.Key.tensorHashes], hashes.count == file.tensors.count,
            case .string(let headerHash)? = file[FileSchema.Key.headerHash],
            let place = file.metadata.first(where: { $0.key == FileSchema.Key.headerHash })?.range
        else { throw .invalid(file: path, reason: "header: it has no digests (\(FileSchema.Key.headerHash))") }

        // The header's own digest was computed with zeros in its place.
        var header = [UInt8](bytes[..<file.dataOffset])
        let digits = SHA256.noDigest.utf8
        guard headerHash.utf8.count == digits.count else {
            throw .invalid(file: path, reason: "header: \(FileSchema.Key.headerHash) has \(headerHash.utf8.count) digits, expected \(digits.count)")
        }
        header.replaceSubrange(place.upperBound - digits.count..<place.upperBound, with: digits)
        let found = try SHA256.hexDigest(header)
        guard found == headerHash else { return [Damage(part: "header", reason: mismatch(found, headerHash))] }

        var damage: [Damage] = []
        for (tensor, expected) in zip(file.tensors, hashes) {
            let range = tensor.range
            var hash = try SHA256()
            for first in stride(from: range.lowerBound, to: range.upperBound, by: 1 << 22) {
                let chunk = UnsafeRawBufferPointer(rebasing: bytes[first..<min(first + 1 << 22, range.upperBound)])
                try hash.update(chunk)
                file.file.release()
                guard progress(ConversionProgress(tensor: tensor.name, done: first + chunk.count, total: bytes.count)) else { throw .cancelled }
            }
            let found = try hash.finish()
            if found != expected { damage.append(Damage(part: tensor.name, reason: mismatch(found, expected))) }
            if let stray = bytes[range.upperBound..<GGUF.aligned(range.upperBound)].firstIndex(where: { $0 != 0 }) {
                damage.append(Damage(part: "padding after \(tensor.name)", reason: "byte \(stray) of the file is not 0"))
            }
        }
        return damage
    }

    private static func mismatch(_ found: String, _ expected: String) -> String {
        "damaged: its SHA-256 is \(found), expected \(expected)"
    }
}
