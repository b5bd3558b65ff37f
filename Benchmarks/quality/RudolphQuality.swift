import Converters
import Foundation
import Rudolph

/// Converts the demo checkpoint to every weight type, measures each with both formats of keys and values and prints the table of Docs/QUALITY.md:
/// `swift run -c release rudolph-quality`.
@main
struct RudolphQuality {
    static func main() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "rudolph-quality-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let pictures = try Reference.emoji()
        let decoded = try Reference.decoded()
        let types: [Converters.WeightType] = [.f16, .int8, .int4]
        var columns: [[String]] = []
        var names: [String] = []
        for type in types {
            let model = try DemoModel(type, in: folder)
            for cache in KeyValueFormat.allCases {
                let name = cache == .f16 ? type.name : "\(type.name), \(cache.name) cache"
                names.append(name)
                let session = try Session(try Model(path: model.path), keyValueFormat: cache)
                let quality = try Quality(session, pictures, decoded) { index in
                    guard isatty(STDERR_FILENO) != 0 else { return }
                    FileHandle.standardError.write(Data("\r\(name): \(index + 1) of \(pictures.count) pictures".utf8))
                }
                if isatty(STDERR_FILENO) != 0 { FileHandle.standardError.write(Data("\n".utf8)) }
                columns.append(cells(quality, model.report))
            }
        }
        print("| | " + names.joined(separator: " | ") + " |")
        print("|---|" + names.map { _ in "---:|" }.joined())
        for (row, title) in titles.enumerated() {
            print("| \(title) | " + columns.map { $0[row] }.joined(separator: " | ") + " |")
        }
    }

    static let titles = [
        "captions identical to the reference's", "the same, with the template", "right captions, pictures seen in training",
        "right captions, held-out pictures", "right of \(Quality.classes) classes, pictures seen in training",
        "right of \(Quality.classes) classes, held-out pictures", "decoded pictures: PSNR to the reference's",
        "decoded pictures: largest difference, of 255", "file", "bits per weight",
    ]

    static func cells(_ quality: Quality, _ report: Conversion.Report) -> [String] {
        func share(_ share: Quality.Share) -> String { String(format: "%.1f %% (%d of %d)", share.percent, share.hits, share.total) }
        return [
            share(quality.identical), share(quality.identicalWithTemplate), share(quality.accuracyTrain), share(quality.accuracyHeldOut),
            share(quality.classifiedTrain), share(quality.classifiedHeldOut), String(format: "%.1f dB", quality.decodedPSNR),
            "\(quality.decodedDifference)", String(format: "%.2f MB", Double(report.fileSize) / 1e6),
            String(format: "%.2f", report.bitsPerWeight),
        ]
    }
}
