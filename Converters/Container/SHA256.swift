import CCrypto

/// SHA-256 (FIPS 180-4) of a stream of bytes. Each step fails where libcrypto does: without memory, or when its configuration on this
/// machine offers no SHA-256.
package struct SHA256: ~Copyable {
    /// What stands in a digest's place before it is known.
    static let noDigest = String(repeating: "0", count: 64)

    private let context: OpaquePointer

    package init() throws(ConversionError) {
        guard let context = EVP_MD_CTX_new() else { throw Self.failure() }
        guard EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1 else {
            EVP_MD_CTX_free(context)
            throw Self.failure()
        }
        self.context = context
    }

    deinit {
        EVP_MD_CTX_free(context)
    }

    package mutating func update(_ bytes: UnsafeRawBufferPointer) throws(ConversionError) {
        guard EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) == 1 else { throw Self.failure() }
    }

    /// The digest as 64 hexadecimal digits.
    package consuming func finish() throws(ConversionError) -> String {
        var digest = [UInt8](repeating: 0, count: 32)
        guard EVP_DigestFinal_ex(context, &digest, nil) == 1 else { throw Self.failure() }
        return digest.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    package static func hexDigest(_ bytes: [UInt8]) throws(ConversionError) -> String {
        var hash = try SHA256()
        try bytes.withUnsafeBufferPointer { (bytes) throws(ConversionError) in try hash.update(UnsafeRawBufferPointer(bytes)) }
        return try hash.finish()
    }

    private static func failure() -> ConversionError {
        .digest(reason: ERR_reason_error_string(ERR_get_error()).map { String(cString: $0) } ?? "no reason given")
    }
}
