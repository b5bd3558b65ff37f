import Foundation

/// A file mapped read-only for as long as this object lives.
package final class MappedFile: Sendable {
    package let path: String
    /// The whole file; valid while this object is alive.
    package nonisolated(unsafe) let bytes: UnsafeRawBufferPointer

    /// Fails when the file cannot be opened, is not a regular file or is empty.
    package init(path: String) throws(ConversionError) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .system(file: path, operation: "open", code: errno) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .system(file: path, operation: "read", code: errno) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .invalid(file: path, reason: "is not a regular file") }
        guard status.st_size > 0 else { throw .invalid(file: path, reason: "is empty") }
        guard let size = Int(exactly: status.st_size),
            let start = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0), start != MAP_FAILED
        else { throw .system(file: path, operation: "map", code: errno) }
        self.path = path
        self.bytes = UnsafeRawBufferPointer(start: start, count: size)
    }

    deinit {
        munmap(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count)
    }

    /// Tells the system that no page of the file needs to stay in memory. All of it, because a page fault maps its neighbours too, those
    /// of parts that were released before.
    func release() {
        madvise(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count, MADV_DONTNEED)
    }
}
