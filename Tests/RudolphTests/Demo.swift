import CKernels
import Foundation
import Testing

@testable import Rudolph
@testable import rudolph_quality

/// The demo model in several weight types, converted once for all tests of a run.
enum Demo {
    static let types: [WeightType] = [.f16, .int8, .int4]
    /// Weights with the usual keys and values, and one of them with the other kind.
    static let typesAndCaches = zip(types + [.int4], [KeyValueFormat.f16, .f16, .int8, .f16])

    static func path(_ type: WeightType) throws -> String {
        try model(type).path
    }

    /// Without calibration.
    static func plainPath(_ type: WeightType) throws -> String { try DemoModel(type, isCalibrated: false, in: folder.get()).path }

    /// A session of its own on the shared model. Tests run at the same time, so each takes one thread unless threads are its matter.
    static func session(_ type: WeightType = .f16, threads: Int = 1, cache: KeyValueFormat? = nil) throws -> Session {
        let model = try model(type)
        return try kernels.withLock { try Session(model, threads: threads, keyValueFormat: cache) }
    }

    /// A session and an image encoder with the kernels that a mask of instruction sets allows. The mask is the process's, so it is set
    /// only while they are made: they keep what they have.
    static func session(
        _ type: WeightType, threads: Int, cache: KeyValueFormat, mask: UInt32, precision: ActivationPrecision? = nil
    ) throws -> (Session, ImageEncoder) {
        let model = try model(type)
        return try kernels.withLock {
            rk_cpu_set_mask(mask)
            defer { rk_cpu_set_mask(.max) }
            let session = try Session(model, threads: threads, precision: precision, keyValueFormat: cache)
            return (session, try ImageEncoder(model, threads: threads, arithmetic: .fast, stop: session.stop))
        }
    }

    /// Runs `body` while no test has set a mask of instruction sets.
    static func withAllInstructionSets<Result>(_ body: () throws -> Result) rethrows -> Result {
        try kernels.withLock { try body() }
    }

    private static let kernels = NSLock()

    private static func model(_ type: WeightType) throws -> Model {
        switch type {
        case .f16: try f16.get()
        case .int8: try int8.get()
        case .int4: try int4.get()
        case .f32: try f32.get()
        }
    }

    private static let f16 = Result { try Model(path: DemoModel(.f16, in: folder.get()).path) }
    private static let int8 = Result { try Model(path: DemoModel(.int8, in: folder.get()).path) }
    private static let int4 = Result { try Model(path: DemoModel(.int4, in: folder.get()).path) }
    private static let f32 = Result { try Model(path: DemoModel(.f32, in: folder.get()).path) }

    private static let folder = Result {
        let url = FileManager.default.temporaryDirectory.appending(path: "rudolph-runtime-tests-\(ProcessInfo.processInfo.processIdentifier)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        atexit {
            try? FileManager.default.removeItem(
                at: FileManager.default.temporaryDirectory.appending(
                    path: "rudolph-runtime-tests-\(ProcessInfo.processInfo.processIdentifier)"))
        }
        return url
    }
}

extension Golden {
    /// One of the twelve pictures of images.json.
    struct Image: Decodable, CustomTestStringConvertible {
        let png: String
        let indices: [Int]
        let min_top2_margin_vq: Double
        let left_ids, caption_ids, template_caption_ids, vqa_ids, vqa_left_ids, colour_ids: [Int]
        let caption, template_caption, vqa, colour: String

        var testDescription: String { png }
    }

    /// One of the greedy drawings of t2i.json.
    struct Drawing: Decodable {
        let prompt, png: String
        let left_ids, indices: [Int]
    }

    static func images() throws -> [Image] { try json([Image].self, "images.json") }
    static func drawings() throws -> [Drawing] { try json([Drawing].self, "t2i.json") }

    static func picture(_ name: String) throws -> RGBImage { try Reference.picture(name) }

    /// A NumPy array of a little-endian element type, in C order.
    struct Array {
        let shape: [Int]
        private let type: String
        private let data: Data

        init(_ name: String) throws {
            let file = try Data(contentsOf: Golden.folder.appending(path: name))
            try #require(file.prefix(8) == Data([0x93] + Swift.Array("NUMPY".utf8) + [1, 0]), "\(name)")
            let length = Int(file[8]) + Int(file[9]) << 8
            let header = String(decoding: file[10..<(10 + length)], as: UTF8.self)
            let match = try #require(
                header.firstMatch(of: /'descr': '([^']+)', 'fortran_order': False, 'shape': \(([0-9, ]*)\)/), "\(name): \(header)")
            type = String(match.1)
            shape = match.2.split(separator: ",").compactMap { Int($0.trimmingCharacters(in: .whitespaces)) }
            data = file.dropFirst(10 + length)
        }

        func values<T: BitwiseCopyable>(_ type: T.Type, _ expected: String) throws -> [T] {
            try #require(self.type == expected)
            return data.withUnsafeBytes { bytes in
                (0..<(bytes.count / MemoryLayout<T>.stride)).map { bytes.loadUnaligned(fromByteOffset: $0 * MemoryLayout<T>.stride, as: T.self) }
            }
        }

        func floats() throws -> [Float] { try values(Float.self, "<f4") }
        func integers() throws -> [Int] { try values(Int32.self, "<i4").map { Int($0) } }
        func booleans() throws -> [Bool] { try values(UInt8.self, "|b1").map { $0 != 0 } }
    }
}

/// What `work` says when it throws a `RudolphError`; a failure of the test when it throws another error or none.
func message(_ location: SourceLocation = #_sourceLocation, _ work: () throws -> Void) -> String {
    do {
        try work()
        Issue.record("no error", sourceLocation: location)
    } catch let error as RudolphError {
        return error.message
    } catch {
        Issue.record("another error: \(error)", sourceLocation: location)
    }
    return ""
}
