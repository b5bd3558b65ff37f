import CImageFiles

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// A file, or standard input, that is read from its current place to its end.
package struct InputFile: ~Copyable {
    /// The most that is read into memory: 1 GiB.
    package static let largestSize = 1 << 30

    /// What messages call it.
    package let name: String
    private let descriptor: Int32

    package init(path: String) throws(ImageFileError) {
        name = path
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw ImageFileError(path.isEmpty ? "an empty name for a file to read" : "\(path): \(errorText())") }
    }

    private init(name: String, descriptor: Int32) {
        self.name = name
        self.descriptor = descriptor
    }

    package static var standardInput: InputFile { InputFile(name: "standard input", descriptor: STDIN_FILENO) }

    deinit {
        if descriptor != STDIN_FILENO { close(descriptor) }
    }

    /// All its bytes. A directory, a read error and more than `largestSize` bytes are errors; an empty file is not.
    package func readAll() throws(ImageFileError) -> [UInt8] {
        try read { (_) throws(ImageFileError) in }
    }

    /// As `readAll`, but gives up after the first bytes when they are neither PNG nor JPEG.
    func readPicture() throws(ImageFileError) -> [UInt8] {
        try read { (start) throws(ImageFileError) in
            if cif_kind_of(start, start.count) == CIF_UNKNOWN { throw Picture.notAPicture(start, name: name) }
        }
    }

    /// - Parameter check: Called once, with the first bytes: `CIF_SIGNATURE` or more unless the file is shorter, and at least one.
    private func read(check: ([UInt8]) throws(ImageFileError) -> Void) throws(ImageFileError) -> [UInt8] {
        var information = stat()
        guard fstat(descriptor, &information) == 0 else { throw ImageFileError("\(name): \(errorText())") }
        let kind = information.st_mode & S_IFMT
        guard kind != S_IFDIR else { throw ImageFileError("\(name): it is a directory; expected a file") }
        let expected = kind == S_IFREG ? Int(information.st_size) : 0
        guard expected <= Self.largestSize else { throw tooLarge }

        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        var isChecked = false
        while true {
            let count = chunk.withUnsafeMutableBytes { readSome(descriptor, $0) }
            guard count >= 0 else { throw ImageFileError("\(name): \(errorText())") }
            bytes.append(contentsOf: chunk.prefix(count))
            if !isChecked, bytes.count >= Int(CIF_SIGNATURE) || count == 0 && !bytes.isEmpty {
                isChecked = true
                try check(bytes)
                bytes.reserveCapacity(expected)
            }
            if count == 0 { return bytes }
            guard bytes.count <= Self.largestSize else { throw tooLarge }
        }
    }

    private var tooLarge: ImageFileError {
        ImageFileError("\(name): it is larger than \(Self.largestSize >> 20) MiB, the most that is read")
    }
}

private func readSome(_ descriptor: Int32, _ buffer: UnsafeMutableRawBufferPointer) -> Int {
    while true {
        let count = read(descriptor, buffer.baseAddress, buffer.count)
        if count >= 0 || errno != EINTR { return count }
    }
}

/// What an error code means.
func errorText(_ code: Int32 = errno) -> String {
    String(cString: strerror(code))
}
