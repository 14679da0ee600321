<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Symbology|MapTips">
  <renderer-v2 attr="area_m2" symbollevels="0" enableorderby="0" forceraster="0" type="graduatedSymbol" graduatedMethod="GraduatedColor">
    <ranges>
      <range lower="0.000000" upper="10000.000000" symbol="0" label="under 1 ha" render="true" />
      <range lower="10000.000000" upper="50000.000000" symbol="1" label="1 to 5 ha" render="true" />
      <range lower="50000.000000" upper="200000.000000" symbol="2" label="5 to 20 ha" render="true" />
      <range lower="200000.000000" upper="1000000.000000" symbol="3" label="20 to 100 ha" render="true" />
      <range lower="1000000.000000" upper="1000000000000.000000" symbol="4" label="over 100 ha" render="true" />
    </ranges>
    <symbols>
      <symbol type="fill" name="0" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" pass="0" enabled="1" locked="0">
          <Option type="Map">
            <Option name="color" value="166,206,228,153" type="QString" />
            <Option name="style" value="solid" type="QString" />
            <Option name="outline_color" value="8,48,107,255" type="QString" />
            <Option name="outline_style" value="solid" type="QString" />
            <Option name="outline_width" value="0.4" type="QString" />
            <Option name="outline_width_unit" value="MM" type="QString" />
            <Option name="joinstyle" value="round" type="QString" />
          </Option>
        </layer>
      </symbol>
      <symbol type="fill" name="1" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" pass="0" enabled="1" locked="0">
          <Option type="Map">
            <Option name="color" value="106,174,214,153" type="QString" />
            <Option name="style" value="solid" type="QString" />
            <Option name="outline_color" value="8,48,107,255" type="QString" />
            <Option name="outline_style" value="solid" type="QString" />
            <Option name="outline_width" value="0.4" type="QString" />
            <Option name="outline_width_unit" value="MM" type="QString" />
            <Option name="joinstyle" value="round" type="QString" />
          </Option>
        </layer>
      </symbol>
      <symbol type="fill" name="2" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" pass="0" enabled="1" locked="0">
          <Option type="Map">
            <Option name="color" value="59,139,194,153" type="QString" />
            <Option name="style" value="solid" type="QString" />
            <Option name="outline_color" value="8,48,107,255" type="QString" />
            <Option name="outline_style" value="solid" type="QString" />
            <Option name="outline_width" value="0.4" type="QString" />
            <Option name="outline_width_unit" value="MM" type="QString" />
            <Option name="joinstyle" value="round" type="QString" />
          </Option>
        </layer>
      </symbol>
      <symbol type="fill" name="3" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" pass="0" enabled="1" locked="0">
          <Option type="Map">
            <Option name="color" value="23,100,171,153" type="QString" />
            <Option name="style" value="solid" type="QString" />
            <Option name="outline_color" value="8,48,107,255" type="QString" />
            <Option name="outline_style" value="solid" type="QString" />
            <Option name="outline_width" value="0.4" type="QString" />
            <Option name="outline_width_unit" value="MM" type="QString" />
            <Option name="joinstyle" value="round" type="QString" />
          </Option>
        </layer>
      </symbol>
      <symbol type="fill" name="4" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleFill" pass="0" enabled="1" locked="0">
          <Option type="Map">
            <Option name="color" value="8,60,125,153" type="QString" />
            <Option name="style" value="solid" type="QString" />
            <Option name="outline_color" value="8,48,107,255" type="QString" />
            <Option name="outline_style" value="solid" type="QString" />
            <Option name="outline_width" value="0.4" type="QString" />
            <Option name="outline_width_unit" value="MM" type="QString" />
            <Option name="joinstyle" value="round" type="QString" />
          </Option>
        </layer>
      </symbol>
    </symbols>
  </renderer-v2>
  <mapTip enabled="1">&lt;b&gt;[% "code" %]&lt;/b&gt; [% "season" %]&lt;br&gt;[% round("area_m2" / 10000, 2) %] ha ([% round("area_low_m2" / 10000, 2) %] to [% round("area_high_m2" / 10000, 2) %])&lt;br&gt;[% "source" %]</mapTip>
  <layerGeometryType>2</layerGeometryType>
</qgis>
