/** Generated from schema/e2b/process.proto by `npm run generate`: the messages and the service. */
import { enumDesc, fileDesc, messageDesc, serviceDesc, tsEnum } from "@bufbuild/protobuf/codegenv2";
export const file_process = /*@__PURE__*/
  fileDesc("Cg1wcm9jZXNzLnByb3RvEgdwcm9jZXNzIkoKA1BUWRIfCgRzaXplGAEgASgLMhEucHJvY2Vzcy5QVFkuU2l6ZRoiCgRTaXplEgwKBGNvbHMYASABKA0SDAoEcm93cxgCIAEoDSKhAQoNUHJvY2Vzc0NvbmZpZxILCgNjbWQYASABKAkSDAoEYXJncxgCIAMoCRIuCgRlbnZzGAMgAygLMiAucHJvY2Vzcy5Qcm9jZXNzQ29uZmlnLkVudnNFbnRyeRIQCgNjd2QYBCABKAlIAIgBARorCglFbnZzRW50cnkSCwoDa2V5GAEgASgJEg0KBXZhbHVlGAIgASgJOgI4AUIGCgRfY3dkIlwKC1Byb2Nlc3NJbmZvEiYKBmNvbmZpZxgBIAEoCzIWLnByb2Nlc3MuUHJvY2Vzc0NvbmZpZxILCgNwaWQYAiABKA0SEAoDdGFnGAMgASgJSACIAQFCBgoEX3RhZyI7Cg9Qcm9jZXNzU2VsZWN0b3ISDQoDcGlkGAEgASgNSAASDQoDdGFnGAIgASgJSABCCgoIc2VsZWN0b3IiNwoMUHJvY2Vzc0lucHV0Eg8KBXN0ZGluGAEgASgMSAASDQoDcHR5GAIgASgMSABCBwoFaW5wdXQirwMKDFByb2Nlc3NFdmVudBIxCgVzdGFydBgBIAEoCzIgLnByb2Nlc3MuUHJvY2Vzc0V2ZW50LlN0YXJ0RXZlbnRIABIvCgRkYXRhGAIgASgLMh8ucHJvY2Vzcy5Qcm9jZXNzRXZlbnQuRGF0YUV2ZW50SAASLQoDZW5kGAMgASgLMh4ucHJvY2Vzcy5Qcm9jZXNzRXZlbnQuRW5kRXZlbnRIABI0CglrZWVwYWxpdmUYBCABKAsyHy5wcm9jZXNzLlByb2Nlc3NFdmVudC5LZWVwQWxpdmVIABoZCgpTdGFydEV2ZW50EgsKA3BpZBgBIAEoDRpICglEYXRhRXZlbnQSEAoGc3Rkb3V0GAEgASgMSAASEAoGc3RkZXJyGAIgASgMSAASDQoDcHR5GAMgASgMSABCCAoGb3V0cHV0GlsKCEVuZEV2ZW50EhEKCWV4aXRfY29kZRgBIAEoERIOCgZleGl0ZWQYAiABKAgSDgoGc3RhdHVzGAMgASgJEhIKBWVycm9yGAQgASgJSACIAQFCCAoGX2Vycm9yGgsKCUtlZXBBbGl2ZUIHCgVldmVudCINCgtMaXN0UmVxdWVzdCI3CgxMaXN0UmVzcG9uc2USJwoJcHJvY2Vzc2VzGAEgAygLMhQucHJvY2Vzcy5Qcm9jZXNzSW5mbyKXAQoMU3RhcnRSZXF1ZXN0EicKB3Byb2Nlc3MYASABKAsyFi5wcm9jZXNzLlByb2Nlc3NDb25maWcSHgoDcHR5GAIgASgLMgwucHJvY2Vzcy5QVFlIAIgBARIQCgN0YWcYAyABKAlIAYgBARISCgVzdGRpbhgEIAEoCEgCiAEBQgYKBF9wdHlCBgoEX3RhZ0IICgZfc3RkaW4iNQoNU3RhcnRSZXNwb25zZRIkCgVldmVudBgBIAEoCzIVLnByb2Nlc3MuUHJvY2Vzc0V2ZW50IjsKDkNvbm5lY3RSZXF1ZXN0EikKB3Byb2Nlc3MYASABKAsyGC5wcm9jZXNzLlByb2Nlc3NTZWxlY3RvciI3Cg9Db25uZWN0UmVzcG9uc2USJAoFZXZlbnQYASABKAsyFS5wcm9jZXNzLlByb2Nlc3NFdmVudCJiCg1VcGRhdGVSZXF1ZXN0EikKB3Byb2Nlc3MYASABKAsyGC5wcm9jZXNzLlByb2Nlc3NTZWxlY3RvchIeCgNwdHkYAiABKAsyDC5wcm9jZXNzLlBUWUgAiAEBQgYKBF9wdHkiEAoOVXBkYXRlUmVzcG9uc2UiYwoQU2VuZElucHV0UmVxdWVzdBIpCgdwcm9jZXNzGAEgASgLMhgucHJvY2Vzcy5Qcm9jZXNzU2VsZWN0b3ISJAoFaW5wdXQYAiABKAsyFS5wcm9jZXNzLlByb2Nlc3NJbnB1dCITChFTZW5kSW5wdXRSZXNwb25zZSLCAgoSU3RyZWFtSW5wdXRSZXF1ZXN0EjcKBXN0YXJ0GAEgASgLMiYucHJvY2Vzcy5TdHJlYW1JbnB1dFJlcXVlc3QuU3RhcnRFdmVudEgAEjUKBGRhdGEYAiABKAsyJS5wcm9jZXNzLlN0cmVhbUlucHV0UmVxdWVzdC5EYXRhRXZlbnRIABI6CglrZWVwYWxpdmUYAyABKAsyJS5wcm9jZXNzLlN0cmVhbUlucHV0UmVxdWVzdC5LZWVwQWxpdmVIABo3CgpTdGFydEV2ZW50EikKB3Byb2Nlc3MYASABKAsyGC5wcm9jZXNzLlByb2Nlc3NTZWxlY3RvchoxCglEYXRhRXZlbnQSJAoFaW5wdXQYAiABKAsyFS5wcm9jZXNzLlByb2Nlc3NJbnB1dBoLCglLZWVwQWxpdmVCBwoFZXZlbnQiFQoTU3RyZWFtSW5wdXRSZXNwb25zZSJfChFTZW5kU2lnbmFsUmVxdWVzdBIpCgdwcm9jZXNzGAEgASgLMhgucHJvY2Vzcy5Qcm9jZXNzU2VsZWN0b3ISHwoGc2lnbmFsGAIgASgOMg8ucHJvY2Vzcy5TaWduYWwiFAoSU2VuZFNpZ25hbFJlc3BvbnNlIj4KEUNsb3NlU3RkaW5SZXF1ZXN0EikKB3Byb2Nlc3MYASABKAsyGC5wcm9jZXNzLlByb2Nlc3NTZWxlY3RvciIUChJDbG9zZVN0ZGluUmVzcG9uc2UqSAoGU2lnbmFsEhYKElNJR05BTF9VTlNQRUNJRklFRBAAEhIKDlNJR05BTF9TSUdLSUxMEAkSEgoOU0lHTkFMX1NJR1RFUk0QDzKRBAoHUHJvY2VzcxIzCgRMaXN0EhQucHJvY2Vzcy5MaXN0UmVxdWVzdBoVLnByb2Nlc3MuTGlzdFJlc3BvbnNlEj4KB0Nvbm5lY3QSFy5wcm9jZXNzLkNvbm5lY3RSZXF1ZXN0GhgucHJvY2Vzcy5Db25uZWN0UmVzcG9uc2UwARI4CgVTdGFydBIVLnByb2Nlc3MuU3RhcnRSZXF1ZXN0GhYucHJvY2Vzcy5TdGFydFJlc3BvbnNlMAESOQoGVXBkYXRlEhYucHJvY2Vzcy5VcGRhdGVSZXF1ZXN0GhcucHJvY2Vzcy5VcGRhdGVSZXNwb25zZRJKCgtTdHJlYW1JbnB1dBIbLnByb2Nlc3MuU3RyZWFtSW5wdXRSZXF1ZXN0GhwucHJvY2Vzcy5TdHJlYW1JbnB1dFJlc3BvbnNlKAESQgoJU2VuZElucHV0EhkucHJvY2Vzcy5TZW5kSW5wdXRSZXF1ZXN0GhoucHJvY2Vzcy5TZW5kSW5wdXRSZXNwb25zZRJFCgpTZW5kU2lnbmFsEhoucHJvY2Vzcy5TZW5kU2lnbmFsUmVxdWVzdBobLnByb2Nlc3MuU2VuZFNpZ25hbFJlc3BvbnNlEkUKCkNsb3NlU3RkaW4SGi5wcm9jZXNzLkNsb3NlU3RkaW5SZXF1ZXN0GhsucHJvY2Vzcy5DbG9zZVN0ZGluUmVzcG9uc2ViBnByb3RvMw");
export const PTYSchema = /*@__PURE__*/
  messageDesc(file_process, 0);
export const PTY_SizeSchema = /*@__PURE__*/
  messageDesc(file_process, 0, 0);
export const ProcessConfigSchema = /*@__PURE__*/
  messageDesc(file_process, 1);
export const ProcessInfoSchema = /*@__PURE__*/
  messageDesc(file_process, 2);
export const ProcessSelectorSchema = /*@__PURE__*/
  messageDesc(file_process, 3);
export const ProcessInputSchema = /*@__PURE__*/
  messageDesc(file_process, 4);
export const ProcessEventSchema = /*@__PURE__*/
  messageDesc(file_process, 5);
export const ProcessEvent_StartEventSchema = /*@__PURE__*/
  messageDesc(file_process, 5, 0);
export const ProcessEvent_DataEventSchema = /*@__PURE__*/
  messageDesc(file_process, 5, 1);
export const ProcessEvent_EndEventSchema = /*@__PURE__*/
  messageDesc(file_process, 5, 2);
export const ProcessEvent_KeepAliveSchema = /*@__PURE__*/
  messageDesc(file_process, 5, 3);
export const ListRequestSchema = /*@__PURE__*/
  messageDesc(file_process, 6);
export const ListResponseSchema = /*@__PURE__*/
  messageDesc(file_process, 7);
export const StartRequestSchema = /*@__PURE__*/
  messageDesc(file_process, 8);
export const StartResponseSchema = /*@__PURE__*/
  messageDesc(file_process, 9);
export const ConnectRequestSchema = /*@__PURE__*/
  messageDesc(file_process, 10);
export const ConnectResponseSchema = /*@__PURE__*/
  messageDesc(file_process, 11);
export const UpdateRequestSchema = /*@__PURE__*/
  messageDesc(file_process, 12);
export const UpdateResponseSchema = /*@__PURE__*/
  messageDesc(file_process, 13);
export const SendInputRequestSchema = /*@__PURE__*/
  messageDesc(file_process, 14);
export const SendInputResponseSchema = /*@__PURE__*/
  messageDesc(file_process, 15);
export const StreamInputRequestSchema = /*@__PURE__*/
  messageDesc(file_process, 16);
export const StreamInputRequest_StartEventSchema = /*@__PURE__*/
  messageDesc(file_process, 16, 0);
export const StreamInputRequest_DataEventSchema = /*@__PURE__*/
  messageDesc(file_process, 16, 1);
export const StreamInputRequest_KeepAliveSchema = /*@__PURE__*/
  messageDesc(file_process, 16, 2);
export const StreamInputResponseSchema = /*@__PURE__*/
  messageDesc(file_process, 17);
export const SendSignalRequestSchema = /*@__PURE__*/
  messageDesc(file_process, 18);
export const SendSignalResponseSchema = /*@__PURE__*/
  messageDesc(file_process, 19);
export const CloseStdinRequestSchema = /*@__PURE__*/
  messageDesc(file_process, 20);
export const CloseStdinResponseSchema = /*@__PURE__*/
  messageDesc(file_process, 21);
export const SignalSchema = /*@__PURE__*/
  enumDesc(file_process, 0);
export const Signal = /*@__PURE__*/
  tsEnum(SignalSchema);
export const Process = /*@__PURE__*/
  serviceDesc(file_process, 0);
