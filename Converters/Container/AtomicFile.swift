import Foundation

/// A file that appears under its name only when it is complete: it is written beside it, synced and renamed. Unless `commit` was
/// reached, nothing is left behind.
final class AtomicFile {
    private let path: String
    private let temporaryPath: String
    private let descriptor: Int32
    private var committed = false

    /// Bytes written so far, one after the other.
    private(set) var size = 0

    init(path: String) throws(ConversionError) {
        var status = stat()
        if stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
            throw .invalid(file: path, reason: "exists and is not a regular file")
        }
        // A local until it is open: deinit must not unlink what this object did not create.
        let temporaryPath = "\(path).\(getpid()).part"
        let descriptor = open(temporaryPath, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw .system(file: temporaryPath, operation: "create", code: errno) }
        self.path = path
        self.temporaryPath = temporaryPath
        self.descriptor = descriptor
    }

    deinit {
        close(descriptor)
        if !committed { unlink(temporaryPath) }
    }

    func append(_ bytes: UnsafeRawBufferPointer) throws(ConversionError) {
        try write(bytes, at: size)
        size += bytes.count
    }

    func append(zeros count: Int) throws(ConversionError) {
        guard count > 0 else { return }
        let zeros = [UInt8](repeating: 0, count: count)
        let result: Result<Void, ConversionError> = zeros.withUnsafeBytes { bytes in
            Result { () throws(ConversionError) in try append(bytes) }
        }
        try result.get()
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(ConversionError) {
        var done = 0
        while done < bytes.count {
            let written = pwrite(descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done, off_t(offset + done))
            if written < 0 && errno == EINTR { continue }
            guard written > 0 else { throw .system(file: temporaryPath, operation: "write", code: written < 0 ? errno : EIO) }
            done += written
        }
    }

    /// Makes the file durable and gives it its name, replacing what had it.
    func commit() throws(ConversionError) {
        guard fsync(descriptor) == 0 else { throw .system(file: temporaryPath, operation: "sync", code: errno) }
        guard rename(temporaryPath, path) == 0 else { throw .system(file: path, operation: "rename to", code: errno) }
        committed = true
        let folder = open(URL(fileURLWithPath: path).deletingLastPathComponent().path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if folder >= 0 {
            fsync(folder)
            close(folder)
        }
    }
}
