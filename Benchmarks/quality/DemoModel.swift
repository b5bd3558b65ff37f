import Converters
import Foundation
import Rudolph

/// The packed demo model of one weight type, converted from the float checkpoint into a folder.
struct DemoModel {
    /// The project's folder, found from this source file.
    static let project = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    static let checkpoint = project.appending(path: "Models/demo/float")

    let path: String
    let report: Conversion.Report

    init(_ type: WeightType, isCalibrated: Bool = true, in folder: URL) throws {
        path = folder.appending(path: "demo-\(type.name)\(isCalibrated ? "" : "-plain").gguf").path
        let conversion = Conversion(
            transformer: Self.checkpoint.appending(path: "pytorch_model.bin").path,
            imageTokenizer: Self.checkpoint.appending(path: "vqgan.ckpt").path,
            textTokenizer: Self.checkpoint.appending(path: "bpe.model").path,
            configuration: try ModelConfiguration(file: Self.checkpoint.appending(path: "config.json").path), type: type,
            isCalibrated: isCalibrated)
        report = try conversion.run(output: path)
    }
}
