import Foundation
import ImageFiles
import Testing

/// Tests/Golden/pictures holds pictures of every kind, and beside each the pixels that Pillow makes of it (make.py there).
@Suite struct PictureTests {
    static let names: [String] = {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: Project.pictures.path)) ?? []
        return names.filter { $0.hasSuffix(".png") || $0.hasSuffix(".jpg") }.sorted()
    }()

    static func bytes(_ name: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: Project.pictures.appending(path: name)))
    }

    @Test func allKindsAreThere() {
        #expect(Self.names.count == 83)
    }

    @Test(arguments: names)
    func pixelsAreThoseOfPillow(name: String) throws {
        let picture = try Picture(path: Project.pictures.appending(path: name).path)
        let expected = try Self.bytes(name + ".ppm")
        let header = Array("P6\n\(picture.width) \(picture.height)\n255\n".utf8)
        try #require(expected.starts(with: header), "\(name): read as \(picture.width) x \(picture.height)")
        let pixels = Array(expected.dropFirst(header.count))
        let different = zip(picture.pixels, pixels).enumerated().first { $1.0 != $1.1 }
        #expect(
            picture.pixels == pixels,
            "\(name): byte \(different?.offset ?? -1) is \(different?.element.0 ?? 0), expected \(different?.element.1 ?? 0)")
    }

    @Test(arguments: names)
    func truncationIsFoundAtEveryLength(name: String) throws {
        var bytes = try Self.bytes(name)
        if name.hasPrefix("trailing") { return }  // whole without its last bytes
        let last = bytes.count - 1
        for length in stride(from: last, through: 0, by: -max(1, last / 200)) {
            bytes.removeSubrange(length...)
            let error = try #require(throws: ImageFileError.self, "\(name) cut to \(length) bytes") {
                try Picture(bytes: bytes, name: name)
            }
            #expect(error.message.hasPrefix("\(name): "))
        }
    }

    /// Damage is either found or changes pixels; nothing crashes.
    @Test(arguments: names)
    func damageNeverCrashes(name: String) throws {
        let bytes = try Self.bytes(name)
        var state: UInt64 = 88_172_645_463_325_252
        for _ in 0..<100 {
            var damaged = bytes
            for _ in 0..<2 {
                state ^= state << 13
                state ^= state >> 7
                state ^= state << 17
                damaged[Int(state % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: state >> 32)
            }
            _ = try? Picture(bytes: damaged, name: name)
        }
    }

    @Test(arguments: [
        ("", "the file is empty"), ("GIF89a\u{1}\u{1}\u{1}", "it looks like a GIF picture"),
        ("hello, this is text", "it looks like text (first bytes 68 65 6c 6c 6f 2c 20 74)"),
        ("RIFF\u{1}\u{1}\u{1}\u{1}WEBPVP8 ", "it looks like a WebP picture"), ("GGUF\u{3}\0\0\0", "it looks like a model file (GGUF)"),
        ("\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}\u{7}\u{8}\u{9}", "its first bytes are 01 02 03 04 05 06 07 08"),
    ])
    func whatIsNoPictureIsDescribed(contents: String, description: String) throws {
        let error = try #require(throws: ImageFileError.self) { try Picture(bytes: Array(contents.utf8), name: "file") }
        #expect(error.message == "file: \(description); expected a PNG or JPEG picture")
    }

    @Test(arguments: [
        (30_000, 30_000, "30000 x 30000 pixels, 900 million"), (0, 7, "0 x 7 pixels"), (7, 0, "7 x 0 pixels"),
        (0xffff_ffff, 0xffff_ffff, "4294967295 x 4294967295 pixels"),
        (1_000_001, 1, "the picture is 1000001 x 1 pixels; expected sides of at most 1000000"),
        (2, 1_000_001, "the picture is 2 x 1000001 pixels; expected sides of at most 1000000"),
    ])
    func sizesAreCheckedBeforeMemoryIsTaken(width: UInt32, height: UInt32, message: String) throws {
        let error = try #require(throws: ImageFileError.self) {
            try Picture(bytes: pngHeader(width: width, height: height), name: "file.png")
        }
        #expect(error.message.contains(message), "\(error.message)")
    }

    @Test func theLongestSideIsReadAndWritten() throws {
        let row = try Picture(width: 1_000_000, height: 1, pixels: [UInt8](repeating: 7, count: 3_000_000))
        #expect(try Picture(bytes: try row.pngData(), name: "row") == row)
        let longer = try Picture(width: 1_000_001, height: 1, pixels: [UInt8](repeating: 7, count: 3_000_003))
        let error = try #require(throws: ImageFileError.self) { try longer.pngData() }
        #expect(error.message.contains("expected sides of at most 1000000"), "\(error.message)")
    }

    @Test func picturesAreHeldAgainstTheAvailableMemory() throws {
        try Picture.checkMemory(1000, available: 1000, place: "file.png: its pixels")
        try Picture.checkMemory(1000, available: 0, place: "file.png: its pixels")
        let error = try #require(throws: ImageFileError.self) { try Picture.checkMemory(1001, available: 1000, place: "file.png: its pixels") }
        #expect(error.message == "file.png: its pixels need 1001 bytes; 1000 are available")
    }

    @Test func writtenPicturesAreReadBack() throws {
        let folder = try TemporaryFolder()
        let picture = try Picture(path: Project.pictures.appending(path: "every_alpha.png").path)
        let path = folder.file("copy.png").path
        try picture.write(path: path)
        #expect(try Picture(path: path) == picture)
        try picture.write(path: path)
        #expect(try folder.names() == ["copy.png"])
    }

    @Test func aFileThatCannotBeWrittenLeavesNothing() throws {
        let folder = try TemporaryFolder()
        let picture = try Picture(width: 1, height: 1, pixels: [1, 2, 3])
        for path in [folder.file("missing/copy.png").path, folder.url.path, ""] {
            #expect(throws: ImageFileError.self, "\(path)") { try picture.write(path: path) }
        }
        #expect(try folder.names().isEmpty)
        #expect(throws: ImageFileError.self) { try Picture(width: 2, height: 1, pixels: [1, 2, 3]) }
    }

    @Test func aSymbolicLinkStaysOne() throws {
        let folder = try TemporaryFolder()
        let picture = try Picture(width: 1, height: 1, pixels: [1, 2, 3])
        try Data().write(to: folder.file("target.png"))
        try FileManager.default.createSymbolicLink(atPath: folder.file("link.png").path, withDestinationPath: "target.png")
        try picture.write(path: folder.file("link.png").path)
        #expect(try Picture(path: folder.file("target.png").path) == picture)
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: folder.file("link.png").path) == "target.png")
    }

    /// A new file has those of any file that the user makes.
    @Test func aReplacedFileKeepsItsPermissions() throws {
        let folder = try TemporaryFolder(), manager = FileManager.default
        let picture = try Picture(width: 1, height: 1, pixels: [1, 2, 3])
        let made = folder.file("made").path, new = folder.file("new.png").path, old = folder.file("old.png").path
        #expect(manager.createFile(atPath: made, contents: nil))
        #expect(manager.createFile(atPath: old, contents: nil, attributes: [.posixPermissions: 0o640]))
        for path in [new, old] { try picture.write(path: path) }
        func permissions(_ path: String) throws -> Int? { try manager.attributesOfItem(atPath: path)[.posixPermissions] as? Int }
        #expect(try permissions(new) == permissions(made))
        #expect(try permissions(old) == 0o640)
        #expect(try folder.names() == ["made", "new.png", "old.png"])
    }

    /// Where links lead to a file that is not there yet, that one is made.
    @Test func aSymbolicLinkToNothingStaysOne() throws {
        let folder = try TemporaryFolder()
        let picture = try Picture(width: 1, height: 1, pixels: [1, 2, 3])
        try FileManager.default.createDirectory(at: folder.file("folder"), withIntermediateDirectories: true)
        let links = [
            "relative.png": "folder/next.png", "folder/next.png": "target.png", "absolute.png": folder.file("other.png").path,
            "lost.png": "missing/target.png", "loop.png": "loop.png",
        ]
        for (link, target) in links {
            try FileManager.default.createSymbolicLink(atPath: folder.file(link).path, withDestinationPath: target)
        }
        for (link, target) in [("relative.png", "folder/target.png"), ("absolute.png", "other.png")] {
            try OutputFile.check(path: folder.file(link).path)
            try picture.write(path: folder.file(link).path)
            #expect(try Picture(path: folder.file(target).path) == picture, "\(link)")
        }
        for link in ["lost.png", "loop.png"] {
            #expect(throws: ImageFileError.self) { try OutputFile.check(path: folder.file(link).path) }
            #expect(throws: ImageFileError.self) { try picture.write(path: folder.file(link).path) }
        }
        for (link, target) in links {
            #expect(try FileManager.default.destinationOfSymbolicLink(atPath: folder.file(link).path) == target)
        }
        #expect(try folder.names() == ["absolute.png", "folder", "loop.png", "lost.png", "other.png", "relative.png"])
    }

    /// What can be a file's name can be written, whatever is written beside it first; what cannot is refused before.
    @Test func aNameMayBeAsLongAsTheSystemTakesIt() throws {
        let folder = try TemporaryFolder()
        let picture = try Picture(width: 1, height: 1, pixels: [1, 2, 3])
        let longest = String(repeating: "n", count: 251) + ".png"
        try OutputFile.check(path: folder.file(longest).path)
        try picture.write(path: folder.file(longest).path)
        #expect(try folder.names() == [longest])
        let error = try #require(throws: ImageFileError.self) { try OutputFile.check(path: folder.file("n" + longest).path) }
        #expect(error.message.hasSuffix("File name too long"), "\(error.message)")
    }
}

/// The beginning of a PNG file: signature and header chunk.
func pngHeader(width: UInt32, height: UInt32) -> [UInt8] {
    func bigEndian(_ value: UInt32) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }
    return [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a] + bigEndian(13) + Array("IHDR".utf8) + bigEndian(width) + bigEndian(height)
        + [8, 2, 0, 0, 0, 0, 0, 0, 0]
}
