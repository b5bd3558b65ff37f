import Foundation
import ImageFiles
import Testing

@testable import Rudolph

@Suite struct ImagePreparationTests {
    struct Reference: Decodable {
        let input: String
        let size: [Int]
        let output: String
    }

    @Test func equalsTheReferenceToTheByte() throws {
        let references = try Golden.json([Reference].self, "preprocess.json")
        #expect(references.count == 9)
        for reference in references {
            let input = try Picture(path: Golden.folder.appending(path: reference.input).path)
            let output = try Picture(path: Golden.folder.appending(path: reference.output).path)
            #expect([input.width, input.height] == reference.size, "\(reference.input)")
            let image = try RGBImage(width: input.width, height: input.height, pixels: input.pixels)
            let prepared = try ImagePreparation.prepare(image, side: output.width)
            let different = zip(prepared, output.pixels).count { $0 != $1 }
            #expect(prepared.count == output.pixels.count)
            #expect(different == 0, "\(reference.input) \(reference.size)")
        }
    }

    /// A picture whose pixel at (x, y) is (x, y, 7).
    func gradient(_ width: Int, _ height: Int) throws -> RGBImage {
        var pixels: [UInt8] = []
        for y in 0..<height {
            for x in 0..<width { pixels += [UInt8(x), UInt8(y), 7] }
        }
        return try RGBImage(width: width, height: height, pixels: pixels)
    }

    @Test(arguments: [
        (8, 8, 0, 0), (9, 8, 0, 0), (8, 9, 0, 0), (10, 8, 1, 0), (11, 8, 1, 0), (8, 11, 0, 1), (8, 20, 0, 6), (200, 8, 96, 0),
        (8, 201, 0, 96),
    ])
    func cutsOutTheCentredSquare(width: Int, height: Int, left: Int, top: Int) throws {
        // Resizing to the same side changes nothing, so what comes out is the square itself.
        let prepared = try ImagePreparation.prepare(gradient(width, height), side: 8)
        var expected: [UInt8] = []
        for y in 0..<8 {
            for x in 0..<8 { expected += [UInt8(left + x), UInt8(top + y), 7] }
        }
        #expect(prepared == expected)
    }

    @Test func enlargesASinglePixel() throws {
        let image = try RGBImage(width: 1, height: 1, pixels: [1, 2, 255])
        let prepared = try ImagePreparation.prepare(image, side: 16)
        #expect(prepared == Array(repeatElement([1, 2, 255], count: 256).joined()))
    }

    @Test(arguments: [0, -8, .min, 4097, .max])
    func refusesASideOutOfRange(side: Int) throws {
        let image = try RGBImage(width: 1, height: 1, pixels: [0, 0, 0])
        #expect(throws: RudolphError.self) { try ImagePreparation.prepare(image, side: side) }
    }

    @Test(arguments: [
        (0, 1, 0), (1, 0, 0), (-1, -1, 3), (.min, .min, 3), (1, 1, 4), (2, 2, 11), (.max, .max, 3), (.max, 3, 1), (1 << 15, 1 << 14, 0),
    ])
    func refusesPicturesThatAreNone(width: Int, height: Int, bytes: Int) {
        #expect(throws: RudolphError.self) {
            try RGBImage(width: width, height: height, pixels: [UInt8](repeating: 0, count: bytes))
        }
    }
}
